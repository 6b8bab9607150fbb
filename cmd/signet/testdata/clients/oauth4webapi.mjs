import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { challenges, claims, failure, fixture, forged, login, otherKey, privateKey, refuses, run } from './cases.mjs'

const { issuer, secrets, keys } = fixture
const insecure = { [oauth.allowInsecureRequests]: true }
const url = new URL(issuer)
const discover = async (algorithm) =>
  oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm, ...insecure }))
const as = await discover('oauth2')

const billing = { client_id: 'billing-2.eu_west' }
const billingAuth = oauth.ClientSecretBasic(secrets[billing.client_id])
const orders = { client_id: 'orders' }
const ordersAuth = oauth.ClientSecretPost(secrets.orders)
const keyed = { client_id: 'keyed' }
const firstParty = { client_id: 'first-party' }

async function machine(client = billing, auth = billingAuth, parameters = { resource: 'orders', scope: 'orders:read' }) {
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, insecure)
  return oauth.processClientCredentialsResponse(as, client, response)
}

async function introspect(client, auth, token) {
  const response = await oauth.introspectionRequest(as, client, auth, token, insecure)
  return oauth.processIntrospectionResponse(as, client, response)
}

async function revoke(client, auth, token) {
  return oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, insecure))
}

async function refresh(client, auth, token) {
  const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, insecure)
  return oauth.processRefreshTokenResponse(as, client, response)
}

async function exchange(client, auth, parameters) {
  const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
  const response = await oauth.genericTokenEndpointRequest(as, client, auth, grant, parameters, insecure)
  return oauth.processGenericTokenEndpointResponse(as, client, response)
}

// What a service does with a request (RFC 9068 §4).
function validate(token, audience = 'orders') {
  const request = new Request('http://orders.example/', { headers: { authorization: `Bearer ${token}` } })
  return oauth.validateJwtAccessToken(as, request, audience, { signingAlgorithms: ['ES256', 'RS256'], ...insecure })
}

async function invalid(token, code, check = () => {}, audience = 'orders') {
  const err = await failure(validate(token, audience))
  assert.ok(err instanceof oauth.OperationProcessingError, err.stack)
  assert.equal(err.code, code, err.stack)
  check(err)
}

await run({
  'discovery at both paths': async () => {
    assert.equal(as.issuer, issuer)
    assert.deepEqual(await discover('oidc'), as)
  },
  'discovery refuses another issuer': async () => {
    const err = await failure(oauth.processDiscoveryResponse(new URL('https://evil.example'), await oauth.discoveryRequest(url, insecure)))
    assert.equal(err.code, 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED')
    assert.equal(err.cause.attribute, 'issuer')
  },
  'metadata without an authorization endpoint': async () => {
    assert.deepEqual([as.authorization_endpoint, as.response_types_supported], [undefined, []])
  },

  'client_secret_basic': async () => {
    const answer = await machine()
    assert.deepEqual([answer.token_type, answer.scope], ['bearer', 'orders:read'])
    assert.ok(answer.expires_in > 200 && answer.expires_in <= 300)
  },
  'client_secret_post': async () => { await machine(billing, oauth.ClientSecretPost(secrets[billing.client_id])) },
  'private_key_jwt with ES256': async () => { await machine(keyed, oauth.PrivateKeyJwt(await privateKey(keys.ES256))) },
  'private_key_jwt with RS256': async () => { await machine(keyed, oauth.PrivateKeyJwt(await privateKey(keys.RS256))) },
  'private_key_jwt without a kid': async () => {
    const { key } = await privateKey(keys.ES256) // two keys are registered, and none is guessed
    await challenges(oauth, machine(keyed, oauth.PrivateKeyJwt(key)))
  },
  'an assertion of another key': async () => {
    await challenges(oauth, machine(keyed, oauth.PrivateKeyJwt(await otherKey(keys.ES256))))
  },
  'an assertion for the token endpoint': async () => {
    await challenges(oauth, machine(keyed, oauth.PrivateKeyJwt(await privateKey(keys.ES256), {
      [oauth.modifyAssertion]: (_, payload) => { payload.aud = as.token_endpoint },
    })))
  },
  'an assertion signed with the secret': async () => {
    await challenges(oauth, machine(billing, oauth.ClientSecretJwt(secrets[billing.client_id])))
  },
  'a wrong secret in the header': async () => { await challenges(oauth, machine(billing, oauth.ClientSecretBasic('wrong'))) },
  'a wrong secret in the body': async () => { await challenges(oauth, machine(billing, oauth.ClientSecretPost('wrong'))) },
  'a confidential client that names itself alone': async () => { await challenges(oauth, machine(billing, oauth.None())) },
  'the public client asks for itself': async () => {
    await refuses(oauth, machine(firstParty, oauth.None()), 'unauthorized_client')
  },
  'a scope that is not registered': async () => {
    await refuses(oauth, machine(billing, billingAuth, { resource: 'orders', scope: 'admin' }), 'invalid_scope')
  },

  'validation of a service\'s token': async () => {
    const { access_token } = await machine()
    assert.deepEqual(await validate(access_token), claims(access_token))
  },
  'validation of a token from an exchange': async () => {
    const { access } = await login()
    const { access_token } = await exchange(orders, ordersAuth,
      { subject_token: access, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', audience: 'ledger' })
    const { sub, act } = await validate(access_token, 'ledger')
    assert.deepEqual([sub, act], [claims(access).sub, { sub: 'orders' }])
  },
  'validation for another audience': async () => {
    const { access_token } = await machine()
    await invalid(access_token, 'OAUTH_JWT_CLAIM_COMPARISON_FAILED', (err) => assert.equal(err.cause.claim, 'aud'), 'ledger')
  },
  'validation of a forged token': async () => {
    const { access_token } = await machine()
    await invalid(forged(access_token), 'OAUTH_INVALID_RESPONSE', (err) => assert.match(err.message, /signature verification failed/))
  },
  // A login's access token has the typ JWT, as simplejwt's has: a service of RFC 9068 refuses it.
  'validation of a login\'s token': async () => {
    const { access, refresh } = await login()
    for (const token of [access, refresh]) {
      await invalid(token, 'OAUTH_INVALID_RESPONSE', (err) => assert.match(err.message, /unexpected JWT "typ" header/))
    }
  },

  'introspection': async () => {
    const { access_token } = await machine()
    const told = await introspect(orders, ordersAuth, access_token)
    assert.deepEqual([told.active, told.client_id, told.aud, told.iss], [true, 'billing-2.eu_west', 'orders', issuer])
    assert.equal(told.exp, claims(access_token).exp)
  },
  'introspection of what is no token': async () => {
    const { access_token } = await machine()
    for (const token of ['x', forged(access_token), (await login()).refresh]) {
      assert.deepEqual(await introspect(orders, ordersAuth, token), { active: false })
    }
  },
  'introspection by a public client': async () => {
    await challenges(oauth, introspect(firstParty, oauth.None(), (await login()).access))
  },
  'refresh and revocation': async () => {
    const first = await login()
    const second = await refresh(firstParty, oauth.None(), first.refresh)
    await revoke(firstParty, oauth.None(), second.refresh_token)
    await refuses(oauth, refresh(firstParty, oauth.None(), second.refresh_token), 'invalid_grant')
  },
  'revocation of an access token': async () => {
    const { access_token } = await machine()
    await refuses(oauth, revoke(billing, billingAuth, access_token), 'unsupported_token_type')
  },
  'revocation of a token of another client': async () => {
    await refuses(oauth, revoke(orders, ordersAuth, (await login()).refresh), 'invalid_grant')
  },
  'revocation with a wrong secret': async () => {
    await challenges(oauth, revoke(orders, oauth.ClientSecretBasic('wrong'), (await login()).refresh))
  },
})
