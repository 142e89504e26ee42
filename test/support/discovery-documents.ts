/**
 * What providers say of themselves, as far as a relying party could stumble over it: the form of the issuer, which paths, what is
 * announced and not kept, what is left out. Written by hand from their documentation (src/config/presets.ts names the sources); no
 * document is a copy, and `base` stands for every host.
 */
import type { PresetName } from '../../src/config/presets.ts';

export type Discovery = { readonly issuer: string; readonly jwks_uri: string } & Readonly<Record<string, unknown>>;

export const DIRECTORY_ID = '11111111-1111-4111-8111-111111111111';

const RS = ['RS256'];
const MODES = ['query', 'fragment', 'form_post'];
const SECRETS = ['client_secret_basic', 'client_secret_post'];

export const DISCOVERY: Readonly<Record<PresetName, (base: string) => Discovery>> = {
  entra: (base) => entraAt(base, DIRECTORY_ID, `${base}/${DIRECTORY_ID}/v2.0`),
  okta: (base) => ({
    issuer: `${base}/oauth2/default`,
    authorization_endpoint: `${base}/oauth2/default/v1/authorize`,
    token_endpoint: `${base}/oauth2/default/v1/token`,
    userinfo_endpoint: `${base}/oauth2/default/v1/userinfo`,
    jwks_uri: `${base}/oauth2/default/v1/keys`,
    end_session_endpoint: `${base}/oauth2/default/v1/logout`,
    revocation_endpoint: `${base}/oauth2/default/v1/revoke`,
    pushed_authorization_request_endpoint: `${base}/oauth2/default/v1/par`,
    response_types_supported: [
      'code',
      'id_token',
      'code id_token',
      'code token',
      'id_token token',
      'code id_token token',
    ],
    response_modes_supported: [...MODES, 'okta_post_message'],
    token_endpoint_auth_methods_supported: [...SECRETS, 'client_secret_jwt', 'private_key_jwt', 'none'],
    id_token_signing_alg_values_supported: RS,
  }),
  auth0: (base) => ({
    issuer: `${base}/`,
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/oauth/token`,
    userinfo_endpoint: `${base}/userinfo`,
    jwks_uri: `${base}/.well-known/jwks.json`,
    revocation_endpoint: `${base}/oauth/revoke`,
    end_session_endpoint: `${base}/oidc/logout`,
    response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token', 'token id_token'],
    response_modes_supported: MODES,
    token_endpoint_auth_methods_supported: [...SECRETS, 'private_key_jwt'],
    id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
  }),
  keycloak: (base) => {
    const realm = `${base}/realms/acme`;
    const protocol = `${realm}/protocol/openid-connect`;
    return {
      issuer: realm,
      authorization_endpoint: `${protocol}/auth`,
      token_endpoint: `${protocol}/token`,
      userinfo_endpoint: `${protocol}/userinfo`,
      jwks_uri: `${protocol}/certs`,
      end_session_endpoint: `${protocol}/logout`,
      revocation_endpoint: `${protocol}/revoke`,
      pushed_authorization_request_endpoint: `${protocol}/ext/par/request`,
      response_types_supported: ['code', 'none', 'id_token', 'token', 'id_token token', 'code id_token'],
      response_modes_supported: [...MODES, 'query.jwt', 'fragment.jwt', 'form_post.jwt', 'jwt'],
      token_endpoint_auth_methods_supported: ['private_key_jwt', ...SECRETS, 'tls_client_auth', 'client_secret_jwt'],
      id_token_signing_alg_values_supported: ['PS384', 'RS384', 'EdDSA', 'ES384', 'HS256', 'HS512', 'RS256', 'none'],
      authorization_response_iss_parameter_supported: true,
      backchannel_logout_supported: true,
      frontchannel_logout_supported: true,
    };
  },
  adfs: (base) => ({
    issuer: `${base}/adfs`,
    access_token_issuer: 'http://adfs.acme.example/adfs/services/trust',
    authorization_endpoint: `${base}/adfs/oauth2/authorize/`,
    token_endpoint: `${base}/adfs/oauth2/token/`,
    userinfo_endpoint: `${base}/adfs/userinfo`,
    jwks_uri: `${base}/adfs/discovery/keys`,
    end_session_endpoint: `${base}/adfs/oauth2/logout`,
    response_types_supported: [
      'code',
      'id_token',
      'code id_token',
      'id_token token',
      'code token',
      'code id_token token',
    ],
    response_modes_supported: MODES,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic', 'private_key_jwt'],
    id_token_signing_alg_values_supported: RS,
    frontchannel_logout_supported: true,
  }),
  google: (base) => ({
    issuer: base,
    authorization_endpoint: `${base}/o/oauth2/v2/auth`,
    token_endpoint: `${base}/token`,
    userinfo_endpoint: `${base}/v1/userinfo`,
    revocation_endpoint: `${base}/revoke`,
    jwks_uri: `${base}/oauth2/v3/certs`,
    response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token', 'token id_token', 'none'],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    id_token_signing_alg_values_supported: RS,
  }),
  ping: (base) => ({
    issuer: base,
    authorization_endpoint: `${base}/as/authorization.oauth2`,
    token_endpoint: `${base}/as/token.oauth2`,
    userinfo_endpoint: `${base}/idp/userinfo.openid`,
    jwks_uri: `${base}/pf/JWKS`,
    ping_end_session_endpoint: `${base}/idp/startSLO.ping`,
    response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token', 'token id_token'],
    response_modes_supported: MODES,
    id_token_signing_alg_values_supported: ['none', 'HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'ES256', 'PS256'],
  }),
  zitadel: (base) => ({
    issuer: base,
    authorization_endpoint: `${base}/oauth/v2/authorize`,
    token_endpoint: `${base}/oauth/v2/token`,
    userinfo_endpoint: `${base}/oidc/v1/userinfo`,
    revocation_endpoint: `${base}/oauth/v2/revoke`,
    end_session_endpoint: `${base}/oidc/v1/end_session`,
    jwks_uri: `${base}/oauth/v2/keys`,
    response_types_supported: ['code', 'id_token', 'id_token token'],
    token_endpoint_auth_methods_supported: ['none', ...SECRETS, 'private_key_jwt'],
    id_token_signing_alg_values_supported: ['EdDSA', 'RS256', 'RS384', 'ES256'],
  }),
  authentik: (base) => ({
    issuer: `${base}/application/o/acme/`,
    authorization_endpoint: `${base}/application/o/authorize/`,
    token_endpoint: `${base}/application/o/token/`,
    userinfo_endpoint: `${base}/application/o/userinfo/`,
    end_session_endpoint: `${base}/application/o/acme/end-session/`,
    revocation_endpoint: `${base}/application/o/revoke/`,
    jwks_uri: `${base}/application/o/acme/jwks/`,
    response_types_supported: ['code', 'id_token', 'id_token token', 'code token', 'code id_token'],
    response_modes_supported: MODES,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    id_token_signing_alg_values_supported: RS,
  }),
  cognito: (base) => ({
    issuer: `${base}/eu-central-1_AbCdEfGhI`,
    authorization_endpoint: `${base}/oauth2/authorize`,
    token_endpoint: `${base}/oauth2/token`,
    userinfo_endpoint: `${base}/oauth2/userInfo`,
    revocation_endpoint: `${base}/oauth2/revoke`,
    jwks_uri: `${base}/eu-central-1_AbCdEfGhI/.well-known/jwks.json`,
    response_types_supported: ['code', 'token'],
    token_endpoint_auth_methods_supported: SECRETS,
    id_token_signing_alg_values_supported: RS,
  }),
  gitlab: (base) => ({
    issuer: base,
    authorization_endpoint: `${base}/oauth/authorize`,
    token_endpoint: `${base}/oauth/token`,
    userinfo_endpoint: `${base}/oauth/userinfo`,
    revocation_endpoint: `${base}/oauth/revoke`,
    jwks_uri: `${base}/oauth/discovery/keys`,
    response_types_supported: ['code'],
    response_modes_supported: MODES,
    token_endpoint_auth_methods_supported: SECRETS,
    id_token_signing_alg_values_supported: RS,
    code_challenge_methods_supported: ['plain', 'S256'],
  }),
};

/** @param directory a tid, or `organizations`, whose issuer is then the template as it stands */
export function entraAt(base: string, directory: string, issuer: string): Discovery {
  return {
    issuer,
    authorization_endpoint: `${base}/${directory}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/${directory}/oauth2/v2.0/token`,
    userinfo_endpoint: `${base}/oidc/userinfo`,
    jwks_uri: `${base}/${directory}/discovery/v2.0/keys`,
    end_session_endpoint: `${base}/${directory}/oauth2/v2.0/logout`,
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    response_modes_supported: MODES,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    id_token_signing_alg_values_supported: RS,
    frontchannel_logout_supported: true,
  };
}
