// The general-purpose OpenID provider of the npm world with an RFC 8693 grant added through its own extension point.
// It checks the id token with jose and answers with a signed JWT. Its default adapter keeps state in memory: nothing
// durable is written and there is no audit.
import { readFileSync } from 'node:fs';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.env.PEER_CONFIG, 'utf8'));
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const LIFETIME_SECONDS = 3600;

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'peer' };
const resourceServer = {
  scope: 'read write create',
  audience: config.audience,
  accessTokenTTL: LIFETIME_SECONDS,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'ES256' } },
};
const issuerKeys = createRemoteJWKSet(new URL(config.jwks_uri));

const provider = new Provider(config.own_url, {
  clients: [{
    client_id: 'bench',
    token_endpoint_auth_method: 'none',
    id_token_signed_response_alg: 'ES256',
    grant_types: [GRANT],
    redirect_uris: [],
    response_types: [],
  }],
  jwks: { keys: [signingKey] },
  routes: { token: '/oauth/token' },
  cookies: { keys: ['not used here'] },
  scopes: ['read', 'write', 'create'],
  ttl: { AccessToken: LIFETIME_SECONDS },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => resourceServer,
    },
  },
  clientBasedCORS: () => false,
});

let serial = 0;

async function exchange(ctx) {
  const { client, params } = ctx.oidc;
  let claims;
  try {
    ({ payload: claims } = await jwtVerify(params.subject_token, issuerKeys, {
      algorithms: ['RS256'],
      audience: config.audience,
      issuer: config.issuer,
      requiredClaims: ['exp', 'iat', 'nbf', 'jti', 'sub'],
    }));
  } catch {
    throw new errors.InvalidGrant('the subject token is not acceptable');
  }
  // The provider's own memory of used ids. The serial number is for the comparison only: the peers share one set of id
  // tokens that goes round, and every exchange is to be a new one.
  if (!(await provider.ReplayDetection.unique(claims.iss, `${claims.jti}.${(serial += 1)}`, claims.exp))) {
    throw new errors.InvalidGrant('the subject token was used before');
  }
  if (params.resource !== config.resource_uri || claims.repository_id !== config.claims.repository_id) {
    throw new errors.InvalidGrant('no publisher matches');
  }
  const { scope } = resourceServer;
  const token = new provider.AccessToken({ client, accountId: claims.sub, scope, gty: 'token_exchange' });
  token.resourceServer = new provider.ResourceServer(params.resource, resourceServer);
  ctx.body = {
    access_token: await token.save(),
    token_type: 'Bearer',
    expires_in: LIFETIME_SECONDS,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    scope,
  };
}

provider.registerGrantType(GRANT, exchange, ['subject_token', 'subject_token_type', 'resource']);
provider.on('server_error', (_ctx, error) => console.error(error));
provider.listen(config.port, '127.0.0.1');
