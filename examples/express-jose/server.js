import express from 'express'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

const issuer = process.env.ISSUER || 'http://127.0.0.1:8080'
const audience = process.env.AUDIENCE || 'orders'
const port = Number(process.env.PORT || 9000)

// Fetches with the first token. One for the process: it holds the cache.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))

async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    algorithms: ['ES256', 'RS256'], // RFC 8725 §3.1: the header does not choose
    requiredClaims: ['exp', 'sub'], // exp is checked only where it stands
    clockTolerance: 5, // seconds; nbf is the second of issue, which a slow clock takes for the future
  })
  // A refresh token has the same issuer and the same keys (RFC 8725 §3.12).
  if (payload.token_type !== 'access') throw new errors.JWTInvalid('not an access token')
  return payload
}

// Faults of the key set: nothing is known of the token, and a 401 would log its user out.
function keysUnavailable(err) {
  return !(err instanceof errors.JOSEError) ||
    ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT'].includes(err.code)
}

// RFC 6750 §2.1 and §3: the header alone, and no error code where no token was sent.
async function authenticate(req, res, next) {
  const [, token] = /^Bearer +([\w.~+/-]+=*)$/i.exec(req.get('authorization')) ?? []
  if (!token) return res.set('WWW-Authenticate', 'Bearer').sendStatus(401)
  try {
    req.claims = await verify(token)
  } catch (err) {
    console.warn('refused: %s %j', err.code ?? err.cause?.code, err.message) // for the log; the client gets no cause
    if (keysUnavailable(err)) return res.set('Retry-After', '5').sendStatus(503)
    return res.set('WWW-Authenticate', 'Bearer error="invalid_token"').sendStatus(401)
  }
  next()
}

const app = express().disable('x-powered-by')

app.get('/orders', authenticate, (req, res) => {
  res.json({ sub: req.claims.sub })
})

const server = app.listen(port, '127.0.0.1', (err) => {
  if (err) throw err
  console.log(`orders on http://127.0.0.1:${port}/orders`)
})

// Requests under way may finish; after 10 s those who read too slowly are cut off.
function stop() {
  server.close()
  setTimeout(() => server.closeAllConnections(), 10_000).unref()
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop)
