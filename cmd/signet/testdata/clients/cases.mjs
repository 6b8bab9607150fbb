// What the scripts of both libraries share. The fixture comes as JSON in FIXTURE; one line of JSON
// for each case goes out, and one with their number at the end.
import assert from 'node:assert/strict'

export const fixture = JSON.parse(process.env.FIXTURE)

export async function run(cases) {
  for (const [name, body] of Object.entries(cases)) {
    let error = ''
    try {
      await body()
    } catch (err) {
      error = err.stack ?? String(err)
      if (err.cause) error += `\ncause: ${JSON.stringify(err.cause)}`
    }
    console.log(JSON.stringify({ name, error }))
  }
  console.log(JSON.stringify({ done: Object.keys(cases).length }))
}

// A login of the front end: a session of the client first-party.
export async function login() {
  const { user, password, issuer } = fixture
  const answer = await fetch(`${issuer}/api/token/`, { method: 'POST', body: new URLSearchParams({ username: user, password }) })
  assert.equal(answer.status, 200)
  return answer.json()
}

export function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
}

// The same token with one bit of its signature changed, still base64url.
export function forged(token) {
  const [header, payload, signature] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  bytes[40] ^= 1
  return [header, payload, bytes.toString('base64url')].join('.')
}

export async function privateKey(jwk) {
  const algorithm = jwk.kty === 'EC' ? { name: 'ECDSA', namedCurve: jwk.crv } : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  return { key: await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']), kid: jwk.kid }
}

export async function otherKey(jwk) {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
  return { key: pair.privateKey, kid: jwk.kid }
}

// An error in the body (RFC 6749 §5.2) is a ResponseBodyError of the library.
export async function refuses(lib, promise, code, status = 400) {
  const err = await failure(promise)
  assert.ok(err instanceof lib.ResponseBodyError, `${err.name}: ${err.message}`)
  assert.deepEqual([err.code, err.error, err.status], ['OAUTH_RESPONSE_BODY_ERROR', code, status])
  assert.ok(err.error_description)
}

// A 401 brings a challenge (RFC 9110 §15.5.2), and the libraries read that instead of the body: the
// error is a WWWAuthenticateChallengeError, with the answer for whoever wants the code.
export async function challenges(lib, promise) {
  const err = await failure(promise)
  assert.ok(err instanceof lib.WWWAuthenticateChallengeError, `${err.name}: ${err.message}`)
  assert.deepEqual([err.code, err.status], ['OAUTH_WWW_AUTHENTICATE_CHALLENGE', 401])
  assert.deepEqual(err.cause.map((c) => [c.scheme, c.parameters.realm]), [['basic', 'clients']])
  assert.equal((await err.response.json()).error, 'invalid_client')
}

export async function failure(promise) {
  try {
    await promise
  } catch (err) {
    return err
  }
  assert.fail('nothing was refused')
}
