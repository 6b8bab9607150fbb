// Access tokens are JWTs signed with ES256, and refresh tokens rotate, as in Signet.
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import Provider from 'oidc-provider'

// The adapter that comes with it forgets all but the last thousand things.
class Memory {
  static #all = new Map()
  static #grants = new Map()
  constructor (name) { this.name = name }
  #key (id) { return `${this.name}:${id}` }
  async upsert (id, payload) {
    const key = this.#key(id)
    Memory.#all.set(key, payload)
    if (payload.grantId) {
      if (!Memory.#grants.has(payload.grantId)) Memory.#grants.set(payload.grantId, [])
      Memory.#grants.get(payload.grantId).push(key)
    }
  }
  async find (id) { return Memory.#all.get(this.#key(id)) }
  async findByUid () {}
  async findByUserCode () {}
  async consume (id) { Memory.#all.get(this.#key(id)).consumed = Math.floor(Date.now() / 1000) }
  async destroy (id) { Memory.#all.delete(this.#key(id)) }
  async revokeByGrantId (grantId) {
    for (const key of Memory.#grants.get(grantId) ?? []) Memory.#all.delete(key)
    Memory.#grants.delete(grantId)
  }
}

const { PORT, SECRET, COUNT, TOKENS } = process.env
const resource = 'urn:orders'
const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  adapter: Memory,
  clients: [{
    client_id: 'batch',
    client_secret: SECRET,
    grant_types: ['client_credentials', 'refresh_token', 'authorization_code'],
    redirect_uris: ['https://client.example/callback'],
    id_token_signed_response_alg: 'ES256',
  }],
  jwks: { keys: [{ ...jwk, alg: 'ES256', use: 'sig' }] },
  cookies: { keys: ['unused'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'orders:read',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { RefreshToken: 86400, Grant: 86400, ClientCredentials: 300 },
})

// A login in a browser ends in such a grant and its first refresh token.
const client = await provider.Client.find('batch')
const tokens = []
for (let i = 0; i < Number(COUNT); i++) {
  const accountId = `user${i}`
  const grant = new provider.Grant({ accountId, clientId: 'batch' })
  grant.addResourceScope(resource, 'orders:read')
  grant.addOIDCScope('offline_access')
  const grantId = await grant.save()
  const token = new provider.RefreshToken({
    accountId, client, grantId, gty: 'authorization_code', resource, scope: 'offline_access orders:read',
    authTime: Math.floor(Date.now() / 1000),
  })
  tokens.push(await token.save())
}
writeFileSync(TOKENS, tokens.join('\n') + '\n', { mode: 0o600 })
provider.listen(Number(PORT), '127.0.0.1')
