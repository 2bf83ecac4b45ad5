// An OAuth 2.1 authorization server for tests, on 127.0.0.1: metadata (RFC 8414, OpenID Connect Discovery), dynamic
// registration (RFC 7591), authorization code with PKCE (RFC 7636, S256 only), resource indicators (RFC 8707), rotating
// refresh tokens, access tokens as JWTs (RFC 9068). Its one user consents to everything at once. Lenient it is not:
// whatever a client gets wrong is refused, so that a login that succeeds was a correct one.

import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

/** The `sub` of everybody who logs in. */
export const SUBJECT = "user_of_the_login_test";

const CODE_LIFETIME_MS = 60_000;
const LARGEST_BODY = 64 * 1024;
const SIGNATURES = {
  RS256: { make: () => generateKeyPairSync("rsa", { modulusLength: 2048 }), options: {} },
  ES256: { make: () => generateKeyPairSync("ec", { namedCurve: "P-256" }), options: { dsaEncoding: "ieee-p1363" } },
};

/** What a client is told in the words of RFC 6749, section 5.2; `status` is 400 unless said otherwise. */
class Refusal extends Error {
  constructor(code, description, status = 400) {
    super(description);
    this.code = code;
    this.status = status;
  }
}

/**
 * Starts one. `path` is the path of its issuer; `discovery` says which of the two metadata documents there are:
 * "oauth" (RFC 8414) or "openid". `resources` are the resource indicators it knows.
 */
export async function startAuthorizationServer({ path = "", discovery = "oauth", resources }) {
  const server = new AuthorizationServer(path, discovery, resources);
  await server.listen();
  return server;
}

class AuthorizationServer {
  /** Access tokens are valid for so many seconds. */
  lifetime = 3600;
  /** "METHOD /path" of every request so far. */
  requests = [];
  /** Everything it gave out that nobody else may see: codes, access and refresh tokens. */
  secrets = [];

  #discovery;
  #resources;
  #path;
  #server;
  #keys = {};
  #clients = new Map();
  #codes = new Map();
  #refreshTokens = new Map();

  constructor(path, discovery, resources) {
    this.#path = path;
    this.#discovery = discovery;
    this.#resources = resources;
    for (const [algorithm, { make }] of Object.entries(SIGNATURES)) {
      this.#keys[algorithm] = { kid: `key-${algorithm}`, ...make() };
    }
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  async listen() {
    await new Promise((resolve, reject) => {
      this.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    this.issuer = `http://127.0.0.1:${this.#server.address().port}${this.#path}`;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  get jwksUrl() {
    return `${this.issuer}/jwks`;
  }

  /** An access token that nobody logged in for; `claims` are added to the usual ones, or replace them. */
  accessToken(claims, algorithm = "RS256") {
    const { kid, privateKey } = this.#keys[algorithm];
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: this.issuer, sub: SUBJECT, jti: secret(), iat: now, exp: now + this.lifetime };
    const head = encode({ alg: algorithm, typ: "at+jwt", kid });
    const message = `${head}.${encode({ ...usual, ...claims })}`;
    const signature = sign("sha256", message, { key: privateKey, ...SIGNATURES[algorithm].options });
    return this.#givenOut(`${message}.${signature.toString("base64url")}`);
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.issuer);
    this.requests.push(`${request.method} ${url.pathname}`);
    try {
      const route = this.#routes()[`${request.method} ${url.pathname}`];
      if (!route) throw new Refusal("not_found", "there is nothing here", 404);
      const { status = 200, headers = {}, json } = await route(url, request);
      response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers });
      response.end(json === undefined ? undefined : JSON.stringify(json));
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      const { status, code } = error instanceof Refusal ? error : { status: 500, code: "server_error" };
      response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
      response.end(JSON.stringify({ error: code, error_description: error.message }));
    }
  }

  #routes() {
    const path = this.#path;
    const metadata = () => ({ json: this.#metadata() });
    const documents = {
      oauth: [`/.well-known/oauth-authorization-server${path}`],
      openid: [`/.well-known/openid-configuration${path}`, `${path}/.well-known/openid-configuration`],
    };
    return {
      ...Object.fromEntries(documents[this.#discovery].map((location) => [`GET ${location}`, metadata])),
      [`GET ${path}/jwks`]: () => ({ json: { keys: this.#publicKeys() } }),
      [`POST ${path}/register`]: async (_url, request) => this.#register(await json(request)),
      [`GET ${path}/authorize`]: (url) => this.#authorize(url.searchParams),
      [`POST ${path}/token`]: async (_url, request) => this.#token(await form(request)),
    };
  }

  #metadata() {
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.issuer}/authorize`,
      token_endpoint: `${this.issuer}/token`,
      registration_endpoint: `${this.issuer}/register`,
      jwks_uri: this.jwksUrl,
      response_types_supported: ["code"],
      grant_types_supported: ["authorization_code", "refresh_token"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: ["none"],
      authorization_response_iss_parameter_supported: true,
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
    };
  }

  #publicKeys() {
    return Object.entries(this.#keys).map(([alg, { kid, privateKey }]) => {
      return { ...createPublicKey(privateKey).export({ format: "jwk" }), kid, alg, use: "sig" };
    });
  }

  #register(wanted) {
    const redirects = wanted.redirect_uris;
    if (!Array.isArray(redirects) || redirects.length === 0 || !redirects.every(isRedirect)) {
      throw new Refusal("invalid_redirect_uri", "redirect_uris have to be https, or http on loopback");
    }
    if ((wanted.token_endpoint_auth_method ?? "none") !== "none") {
      throw new Refusal("invalid_client_metadata", "only public clients are registered");
    }
    const client_id = `client_${secret()}`;
    this.#clients.set(client_id, { redirects });
    const { client_name, grant_types = ["authorization_code"] } = wanted;
    const registered = { client_id, client_name, redirect_uris: redirects, grant_types };
    return { status: 201, json: { ...registered, response_types: ["code"], token_endpoint_auth_method: "none" } };
  }

  /** Whatever cannot be sent back safely (client, redirect URI) is answered here, everything else by redirect. */
  #authorize(query) {
    const clientId = one(query, "client_id");
    const redirect = one(query, "redirect_uri");
    if (!this.#clients.get(clientId)?.redirects.includes(redirect)) {
      throw new Refusal("invalid_request", "the client is not registered with this redirect_uri");
    }
    const back = new URL(redirect);
    back.searchParams.set("iss", this.issuer);
    if (query.has("state")) back.searchParams.set("state", one(query, "state"));
    try {
      back.searchParams.set("code", this.#code(query, clientId, redirect));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      back.searchParams.set("error", error.code);
      back.searchParams.set("error_description", error.message);
    }
    return { status: 302, headers: { Location: back.href } };
  }

  #code(query, clientId, redirect) {
    if (one(query, "response_type") !== "code") {
      throw new Refusal("unsupported_response_type", "response_type has to be code");
    }
    const challenge = one(query, "code_challenge");
    if (one(query, "code_challenge_method") !== "S256" || !/^[A-Za-z0-9_-]{43}$/.test(challenge)) {
      throw new Refusal("invalid_request", "a code_challenge of method S256 is needed");
    }
    const resource = this.#knownResource(query);
    const code = this.#givenOut(secret());
    const scope = query.get("scope") ?? undefined;
    const expires = Date.now() + CODE_LIFETIME_MS;
    this.#codes.set(code, { clientId, redirect, challenge, resource, scope, expires });
    return code;
  }

  #token(body) {
    const clientId = one(body, "client_id");
    if (!this.#clients.has(clientId)) throw new Refusal("invalid_client", "the client is not registered", 401);
    const grants = {
      authorization_code: () => this.#redeemed(body, clientId),
      refresh_token: () => this.#refreshed(body, clientId),
    };
    const grant = Object.hasOwn(grants, one(body, "grant_type")) && grants[one(body, "grant_type")];
    if (!grant) throw new Refusal("unsupported_grant_type", "use authorization_code or refresh_token");
    const { resource, scope } = grant();
    const refresh_token = this.#givenOut(secret());
    this.#refreshTokens.set(refresh_token, { clientId, resource, scope });
    const access_token = this.accessToken({ aud: resource, client_id: clientId, scope });
    return { json: { access_token, token_type: "Bearer", expires_in: this.lifetime, refresh_token, scope } };
  }

  #redeemed(body, clientId) {
    const code = one(body, "code");
    const granted = this.#codes.get(code);
    // Gone whatever happens next: a code is good for one try.
    this.#codes.delete(code);
    if (!granted || granted.clientId !== clientId || granted.expires < Date.now()) {
      throw new Refusal("invalid_grant", "the code is unknown, used, expired, or another client's");
    }
    if (one(body, "redirect_uri") !== granted.redirect) {
      throw new Refusal("invalid_grant", "redirect_uri is not the one that was authorized");
    }
    const verifier = one(body, "code_verifier");
    const challenge = createHash("sha256").update(verifier).digest();
    const wanted = Buffer.from(granted.challenge, "base64url");
    if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier) || !timingSafeEqual(challenge, wanted)) {
      throw new Refusal("invalid_grant", "code_verifier does not fit the code_challenge");
    }
    return this.#narrowed(body, granted);
  }

  #refreshed(body, clientId) {
    const token = one(body, "refresh_token");
    const granted = this.#refreshTokens.get(token);
    this.#refreshTokens.delete(token);
    if (granted?.clientId !== clientId) {
      throw new Refusal("invalid_grant", "the refresh_token is unknown, used, or another client's");
    }
    return this.#narrowed(body, granted);
  }

  #narrowed(body, granted) {
    if (this.#knownResource(body) !== granted.resource) {
      throw new Refusal("invalid_target", "resource is not the one that was authorized");
    }
    return granted;
  }

  #knownResource(parameters) {
    const resource = one(parameters, "resource", "invalid_target");
    if (!this.#resources.includes(resource)) throw new Refusal("invalid_target", `there is no resource ${resource}`);
    return resource;
  }

  #givenOut(value) {
    this.secrets.push(value);
    return value;
  }
}

/** A parameter that has to be there exactly once (RFC 6749, section 3.1). */
function one(parameters, name, code = "invalid_request") {
  const values = parameters.getAll(name);
  if (values.length !== 1 || values[0] === "") throw new Refusal(code, `${name} has to be there once`);
  return values[0];
}

function isRedirect(text) {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, hash } = new URL(text);
  const isLoopback = ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
  return hash === "" && (protocol === "https:" || (protocol === "http:" && isLoopback));
}

async function form(request) {
  return new URLSearchParams(await body(request, "application/x-www-form-urlencoded"));
}

async function json(request) {
  const text = await body(request, "application/json");
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new Refusal("invalid_client_metadata", "the body is not JSON");
  }
}

async function body(request, type) {
  if (request.headers["content-type"]?.split(";")[0] !== type) throw new Refusal("invalid_request", `send ${type}`);
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > LARGEST_BODY) throw new Refusal("invalid_request", "the body is too large", 413);
  }
  return text;
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function secret() {
  return randomBytes(24).toString("base64url");
}
