// An identity provider for the pages' journey: oidc-provider as it is shipped, its own sign-in pages included. Whoever
// signs in is who the form says; the accounts of the configuration have groups, all others have none.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const config = JSON.parse(readFileSync(process.env.PROVIDER_CONFIG, 'utf8'));

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(config.url, {
  clients: [{
    client_id: config.client_id,
    client_secret: config.client_secret,
    redirect_uris: [`${config.pages_url}/ui/sign-in/callback`],
    post_logout_redirect_uris: [`${config.pages_url}/ui/sign-in`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256', kid: 'of-this-run' }] },
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'groups'],
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  cookies: { keys: [config.client_secret] },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({ sub: `subject-of-${id}`, preferred_username: id, groups: config.groups[id] ?? [] }),
  }),
});

const { hostname, port } = new URL(config.url);
provider.listen(Number(port), hostname, () => console.log('listening'));
