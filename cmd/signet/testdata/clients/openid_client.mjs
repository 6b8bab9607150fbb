import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { challenges, claims, failure, fixture, login, otherKey, privateKey, refuses, run } from './cases.mjs'

const { issuer, secrets, keys } = fixture
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessToken = 'urn:ietf:params:oauth:token-type:access_token'

function discover(id, auth, algorithm = 'oidc') {
  return client.discovery(new URL(issuer), id, undefined, auth, { algorithm, execute: [client.allowInsecureRequests] })
}

const billing = () => discover('billing-2.eu_west', client.ClientSecretBasic(secrets['billing-2.eu_west']))
const orders = () => discover('orders', client.ClientSecretPost(secrets.orders))
const firstParty = () => discover('first-party', client.None())

const ask = { resource: 'orders', scope: 'orders:read' }

async function grants(config, id) {
  const answer = await client.clientCredentialsGrant(config, ask)
  assert.equal(answer.token_type, 'bearer')
  assert.equal(answer.scope, 'orders:read')
  assert.ok(answer.expiresIn() > 200 && answer.expiresIn() <= 300, `${answer.expiresIn()} s`)
  const { sub, aud, client_id } = claims(answer.access_token)
  assert.deepEqual([sub, aud, client_id], [id, 'orders', id])
  return answer.access_token
}

function exchangeFor(config, subject, extra = {}) {
  return client.genericGrantRequest(config, exchange, { subject_token: subject, subject_token_type: accessToken, ...extra })
}

await run({
  'discovery at openid-configuration': async () => {
    const as = (await billing()).serverMetadata()
    assert.equal(as.issuer, issuer)
    for (const name of ['token_endpoint', 'jwks_uri', 'introspection_endpoint', 'revocation_endpoint']) {
      assert.ok(as[name].startsWith(`${issuer}/`), `${name} is ${as[name]}`)
    }
  },
  'discovery at oauth-authorization-server': async () => {
    const config = await discover('first-party', client.None(), 'oauth2')
    assert.deepEqual({ ...config.serverMetadata() }, { ...(await firstParty()).serverMetadata() })
  },
  'discovery refuses an issuer of another name': async () => {
    const other = new URL(issuer.replace('127.0.0.1', 'localhost'))
    const err = await failure(client.discovery(other, 'first-party', undefined, client.None(), { execute: [client.allowInsecureRequests] }))
    assert.ok(err instanceof client.ClientError)
    assert.equal(err.code, 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED')
  },
  'without an authorization endpoint no login is begun': async () => {
    const config = await billing()
    assert.deepEqual(config.serverMetadata().response_types_supported, [])
    const err = await failure((async () => client.buildAuthorizationUrl(config, { redirect_uri: 'http://127.0.0.1/cb' }))())
    assert.equal(err.code, 'OAUTH_MISSING_SERVER_METADATA')
    assert.equal(err.cause.attribute, 'authorization_endpoint')
  },

  'client_secret_basic': async () => { await grants(await billing(), 'billing-2.eu_west') },
  'client_secret_post': async () => {
    await grants(await discover('billing-2.eu_west', client.ClientSecretPost(secrets['billing-2.eu_west'])), 'billing-2.eu_west')
  },
  'private_key_jwt with ES256': async () => {
    const config = await discover('keyed', client.PrivateKeyJwt(await privateKey(keys.ES256)))
    await grants(config, 'keyed')
    await grants(config, 'keyed') // each request has an assertion of its own
  },
  'private_key_jwt with RS256': async () => {
    await grants(await discover('keyed', client.PrivateKeyJwt(await privateKey(keys.RS256))), 'keyed')
  },
  'two audiences': async () => {
    const both = new URLSearchParams([['audience', 'orders'], ['audience', 'ledger']])
    const answer = await client.clientCredentialsGrant(await billing(), both)
    assert.deepEqual(claims(answer.access_token).aud, ['orders', 'ledger'])
  },

  'a wrong secret in the header': async () => {
    const config = await discover('billing-2.eu_west', client.ClientSecretBasic('wrong'))
    await challenges(client, client.clientCredentialsGrant(config, ask))
  },
  'a wrong secret in the body': async () => {
    const config = await discover('billing-2.eu_west', client.ClientSecretPost('wrong'))
    await challenges(client, client.clientCredentialsGrant(config, ask))
  },
  'an assertion of another key': async () => {
    const config = await discover('keyed', client.PrivateKeyJwt(await otherKey(keys.ES256)))
    await challenges(client, client.clientCredentialsGrant(config, ask))
  },
  'an assertion for the token endpoint': async () => {
    const config = await discover('keyed', client.PrivateKeyJwt(await privateKey(keys.ES256), {
      [client.modifyAssertion]: (_, payload) => { payload.aud = `${issuer}/oauth2/token` },
    }))
    await challenges(client, client.clientCredentialsGrant(config, ask))
  },
  'a scope that is not registered': async () => {
    await refuses(client, client.clientCredentialsGrant(await billing(), { ...ask, scope: 'admin' }), 'invalid_scope')
  },
  'an audience that is not registered': async () => {
    await refuses(client, client.clientCredentialsGrant(await billing(), { resource: 'payroll' }), 'invalid_target')
  },
  'a grant that is not registered': async () => {
    await refuses(client, exchangeFor(await billing(), (await login()).access), 'unauthorized_client')
  },
  'a grant that is not offered': async () => {
    await refuses(client, client.genericGrantRequest(await billing(), 'password', { username: 'x', password: 'x' }), 'unsupported_grant_type')
  },

  'introspection by the audience': async () => {
    const token = await grants(await billing(), 'billing-2.eu_west')
    const told = await client.tokenIntrospection(await orders(), token)
    const { exp, iat, jti } = claims(token)
    assert.equal(told.active, true)
    assert.deepEqual([told.iss, told.sub, told.aud, told.client_id, told.scope, told.token_type, told.exp, told.iat, told.jti],
      [issuer, 'billing-2.eu_west', 'orders', 'billing-2.eu_west', 'orders:read', 'Bearer', exp, iat, jti])
  },
  'introspection by a key': async () => {
    const config = await discover('keyed', client.PrivateKeyJwt(await privateKey(keys.ES256)))
    const token = await grants(config, 'keyed')
    assert.equal((await client.tokenIntrospection(config, token, { token_type_hint: 'access_token' })).active, true)
  },
  'introspection by a stranger': async () => {
    const token = await grants(await billing(), 'billing-2.eu_west')
    const stranger = await discover('keyed', client.PrivateKeyJwt(await privateKey(keys.ES256)))
    assert.deepEqual(await client.tokenIntrospection(stranger, token), { active: false })
  },
  'introspection by a public client': async () => {
    await challenges(client, client.tokenIntrospection(await firstParty(), (await login()).access))
  },

  'refresh as a public client': async () => {
    const { refresh } = await login()
    const answer = await client.refreshTokenGrant(await firstParty(), refresh)
    assert.notEqual(answer.refresh_token, refresh)
    assert.equal(claims(answer.access_token).client_id, 'first-party')
    await client.refreshTokenGrant(await firstParty(), answer.refresh_token)
  },
  'refresh by a client that is not registered for it': async () => {
    await refuses(client, client.refreshTokenGrant(await billing(), (await login()).refresh), 'unauthorized_client')
  },
  'refresh with an access token': async () => {
    await refuses(client, client.refreshTokenGrant(await firstParty(), (await login()).access), 'invalid_grant')
  },
  'revocation ends the session': async () => {
    const { refresh, access } = await login()
    assert.equal((await client.tokenIntrospection(await orders(), access)).active, true)
    await client.tokenRevocation(await firstParty(), refresh, { token_type_hint: 'refresh_token' })
    await refuses(client, client.refreshTokenGrant(await firstParty(), refresh), 'invalid_grant')
    assert.deepEqual(await client.tokenIntrospection(await orders(), access), { active: false })
    await client.tokenRevocation(await firstParty(), refresh) // RFC 7009 §2.2: no error
  },
  'revocation of a token of another client': async () => {
    const { refresh } = await login()
    await refuses(client, client.tokenRevocation(await orders(), refresh), 'invalid_grant')
    await client.refreshTokenGrant(await firstParty(), refresh)
  },
  'revocation of an access token': async () => {
    const config = await billing()
    await refuses(client, client.tokenRevocation(config, await grants(config, 'billing-2.eu_west')), 'unsupported_token_type')
  },

  'token exchange of a user\'s token': async () => {
    const { access } = await login()
    const answer = await exchangeFor(await orders(), access, { resource: 'ledger' })
    assert.equal(answer.issued_token_type, accessToken)
    const { sub, aud, act, client_id } = claims(answer.access_token)
    assert.deepEqual([sub, aud, act, client_id], [claims(access).sub, 'ledger', { sub: 'orders' }, 'orders'])
  },
  'token exchange of a service\'s token': async () => {
    const token = await grants(await billing(), 'billing-2.eu_west')
    const answer = await exchangeFor(await orders(), token, { scope: 'orders:read' })
    const { sub, act, scope } = claims(answer.access_token)
    assert.deepEqual([sub, act, scope], ['billing-2.eu_west', { sub: 'orders' }, 'orders:read'])
  },
  'token exchange of a token that is for another': async () => {
    const answer = await client.clientCredentialsGrant(await billing(), { resource: 'ledger' })
    await refuses(client, exchangeFor(await orders(), answer.access_token), 'invalid_request')
  },
})
