import express from 'express'
import jwt from 'jsonwebtoken'
import jwksClient from 'jwks-rsa'

const issuer = process.env.ISSUER || 'http://127.0.0.1:8080'
const audience = process.env.AUDIENCE || 'orders'
const port = Number(process.env.PORT || 9000)

// Fetches with the first token. One for the process: it holds the cache.
const keys = jwksClient({
  jwksUri: `${issuer}/.well-known/jwks.json`,
  timeout: 5000,
  // Off on purpose: the limiter counts the fetches that forged kids cause together with those of
  // real keys, so ten forged tokens a minute would get every good token refused as soon as its
  // key is new or due to be fetched again. Without it a forged kid costs the issuer one answer
  // from memory; limit callers of this service by address if that is too much.
  rateLimit: false,
})

async function verify(token) {
  const { kid } = jwt.decode(token, { complete: true })?.header ?? {}
  if (typeof kid !== 'string') throw new jwt.JsonWebTokenError('no kid')
  const key = await keys.getSigningKey(kid)
  const claims = jwt.verify(token, key.getPublicKey(), {
    issuer,
    audience,
    algorithms: ['ES256', 'RS256'], // RFC 8725 §3.1: the header does not choose
    clockTolerance: 5, // seconds; nbf is the second of issue, which a slow clock takes for the future
  })
  // exp is checked only where it stands. A refresh token has the same issuer and the same keys
  // (RFC 8725 §3.12).
  if (!claims.exp || claims.token_type !== 'access') throw new jwt.JsonWebTokenError('not an access token')
  return claims
}

// RFC 6750 §2.1 and §3: the header alone, and no error code where no token was sent.
async function authenticate(req, res, next) {
  const [, token] = /^Bearer +([\w.~+/-]+=*)$/i.exec(req.get('authorization')) ?? []
  if (!token) return res.set('WWW-Authenticate', 'Bearer').sendStatus(401)
  try {
    req.claims = await verify(token)
  } catch (err) {
    console.warn('refused: %s %j', err.name, err.message) // for the log; the client gets no cause
    // Nothing is known of the token, and a 401 would log its user out.
    if (err.isEndpointUnavailable) return res.set('Retry-After', '5').sendStatus(503)
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
