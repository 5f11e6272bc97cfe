// A certified OpenID provider (npm oidc-provider) on loopback: authorization code with PKCE, device code, refresh tokens
// that rotate with reuse detection, revocation, discovery. Prints {url} and ends with its standard input.
// usage: node oidc.mjs NODE_MODULES '{"access": 3600, "device": 600}'
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, settings] = process.argv.slice(2);
const ttl = { access: 3600, device: 600, ...JSON.parse(settings ?? "{}") };
const entry = createRequire(`${modules}/`).resolve("oidc-provider");
console.info = console.warn = () => {};
const { default: Provider } = await import(pathToFileURL(entry).href);

const server = createServer();
server.listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  clients: [
    {
      client_id: "llm-mux",
      application_type: "native",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://127.0.0.1/callback", "http://localhost/callback"],
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
    },
    {
      client_id: "with-secret",
      client_secret: "PLANTED-client-secret",
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email"], profile: ["name"] },
  conformIdTokenClaims: false,
  features: { deviceFlow: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: true } },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@corp.example`, name: sub }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: ttl.access, RefreshToken: 86400, DeviceCode: ttl.device, IdToken: 3600, AuthorizationCode: 60 },
  cookies: { keys: ["a key for these tests alone"] },
});

const seen = [];
provider.use(async (ctx, next) => {
  await next();
  const route = ctx.oidc?.route;
  if (["token", "revocation", "device_authorization"].includes(route)) {
    const grant = ctx.oidc.params?.grant_type ?? null;
    seen.push({ route, grant, client: ctx.oidc.client?.clientId ?? null, status: ctx.status, error: ctx.body?.error ?? null });
  }
});
const callback = provider.callback();
server.on("request", (request, response) => {
  if (request.url !== "/seen") return callback(request, response);
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(seen));
});

console.log(JSON.stringify({ url }));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
