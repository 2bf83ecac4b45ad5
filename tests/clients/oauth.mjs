// The whole login, as the official TypeScript SDK does it: from the sidecar's 401 through discovery, registration,
// authorization code with PKCE and the token endpoint to a tool call; then what must be refused, and a refresh.
// Reads TOOLBRIDGE, the binary; starts an authorization server, a sandbox and a sidecar by itself.

import assert from "node:assert/strict";

import { auth, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LATEST_PROTOCOL_VERSION } from "@modelcontextprotocol/sdk/types.js";

import { startAuthorizationServer } from "./authorization_server.mjs";
import { item } from "./life.mjs";
import { Report, required } from "./report.mjs";
import { consent, Provider, REDIRECT } from "./support/person.mjs";
import { freePort, startSandbox, startSidecar } from "./support/processes.mjs";
import { nothingOf } from "./support/secrets.mjs";

const TOOLBRIDGE = required("TOOLBRIDGE");
const FOREIGN = "https://mcp.other-team.example/mcp";
const NOTE = { title: "Written after a login", content: "by the SDK's own OAuth client" };

const report = new Report("Login with the TypeScript SDK");
await whole("RFC 8414 metadata", { path: "", discovery: "oauth" });
await whole("OpenID Connect Discovery, issuer with a path", { path: "/team", discovery: "openid" });
process.exit(report.close());

/** One authorization server with its sidecar and sandbox, from the first 401 to the search of the logs. */
async function whole(kind, where) {
  const publicUrl = `http://127.0.0.1:${await freePort()}`;
  const resource = `${publicUrl}/mcp`;
  const server = await startAuthorizationServer({ ...where, resources: [resource, FOREIGN] });
  const rules = ["--issuer", server.issuer, "--audience", resource, "--jwks-url", server.jwksUrl];
  const sandbox = await startSandbox(TOOLBRIDGE, ["--tenants", "off", ...rules]);
  const settings = { "auth.issuer": server.issuer, "tenant.id": "team" };
  const sidecar = await startSidecar(TOOLBRIDGE, { publicUrl, backend: sandbox.url, settings });
  const step = (name, run) => report.step(`${kind}: ${name}`, run);

  const provider = new Provider();
  const client = new Client({ name: "toolbridge-tests", version: "1.0.0" });
  await login(step, { server, resource, provider, client });
  await refusals(step, { server, resource });
  await refreshes(step, { server, resource, provider, client });
  await strictness(step, { server, resource });
  await client.close();
  await step("no token is in any log", async () => {
    await sidecar.stop();
    await sandbox.stop();
    assert.match(sidecar.output, /create_note/, "the log is empty");
    nothingOf(server.secrets, sidecar.output);
    nothingOf(server.secrets, sandbox.output);
  });
  await server.stop();
}

async function login(step, { server, resource, provider, client }) {
  const url = new URL(resource);
  const transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  await step("is sent from the 401 to the authorization server", async () => {
    await assert.rejects(client.connect(transport), UnauthorizedError);
    assert.equal(provider.authorization.searchParams.get("resource"), resource);
    assert.equal(provider.authorization.searchParams.get("code_challenge_method"), "S256");
    const asked = server.requests.join("\n");
    assert.match(asked, /GET \S*\/\.well-known\/o[\s\S]*POST \S*\/register\nGET \S*\/authorize/);
    assert.equal(provider.answer.get("iss"), server.issuer);
    assert.equal(provider.answer.get("state"), provider.sentState);
  });
  await step("exchanges the code and connects", async () => {
    await transport.finishAuth(provider.answer.get("code"));
    assert.ok(provider.tokens().access_token);
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider: provider }));
  });
  await step("creates a note and reads it back", async () => {
    const { uid } = item(await client.callTool({ name: "create_note", arguments: NOTE }));
    const note = item(await client.callTool({ name: "get_note", arguments: { uid } }));
    assert.equal(note.payload.title, NOTE.title);
    assert.equal(note.payload.content, NOTE.content);
  });
}

async function refusals(step, { server, resource }) {
  await step("a caller without a token is told where to log in, and of no error", async () => {
    const { status, challenge } = await knock(resource);
    assert.equal(status, 401);
    const metadata = resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    assert.ok(challenge.includes(`resource_metadata="${metadata}"`), challenge);
    assert.doesNotMatch(challenge, /error=/);
  });
  await step("a token from a login for another resource is refused", async () => {
    const person = new Provider();
    const target = { resource: FOREIGN, issuer: server.issuer };
    const { access_token } = await (await redeem(await authorized(person, server, target), server)).json();
    await refused(resource, access_token, /audience/);
  });
  await step("a token is refused for anything that is wrong with it", async () => {
    const now = Math.floor(Date.now() / 1000);
    await refused(resource, server.accessToken({ aud: resource, iat: now - 7200, exp: now - 3600 }), /expired/);
    await refused(resource, server.accessToken({ aud: resource, iss: `${server.issuer}/other` }), /issuer/);
    await refused(resource, server.accessToken({}), /aud is missing/);
    const [head, claims] = server.accessToken({ aud: resource, sub: "somebody else" }).split(".");
    const [, , signature] = server.accessToken({ aud: resource }).split(".");
    await refused(resource, `${head}.${claims}.${signature}`, /signature/);
  });
  await step("a token with an ES256 signature is accepted", async () => {
    const { status } = await knock(resource, server.accessToken({ aud: resource }, "ES256"));
    assert.equal(status, 200);
  });
}

async function refreshes(step, { server, resource, provider, client }) {
  await step("an expired token is refreshed on the way, and the connection goes on", async () => {
    const before = provider.tokens();
    const now = Math.floor(Date.now() / 1000);
    const expired = server.accessToken({ aud: resource, iat: now - 7200, exp: now - 3600 });
    provider.saveTokens({ ...before, access_token: expired });
    const requests = server.requests.length;
    item(await client.callTool({ name: "create_note", arguments: NOTE }));
    const asked = server.requests.slice(requests).filter((request) => request.startsWith("POST"));
    assert.deepEqual(asked, [`POST ${new URL(server.issuer).pathname.replace(/\/$/, "")}/token`]);
    assert.notEqual(provider.tokens().access_token, expired);
    assert.notEqual(provider.tokens().refresh_token, before.refresh_token);
  });
  await step("without a refresh token the person logs in again", async () => {
    const now = Math.floor(Date.now() / 1000);
    const expired = server.accessToken({ aud: resource, iat: now - 7200, exp: now - 3600 });
    provider.saveTokens({ ...provider.tokens(), access_token: expired, refresh_token: undefined });
    const again = client.callTool({ name: "list_notes", arguments: {} });
    await assert.rejects(again, UnauthorizedError);
    await client.transport.finishAuth(provider.answer.get("code"));
    assert.ok(!(await client.callTool({ name: "list_notes", arguments: {} })).isError);
  });
}

/** What makes the logins above worth something: this authorization server accepts correct ones only. */
async function strictness(step, { server, resource }) {
  const target = { resource, issuer: server.issuer };
  const code = async () => authorized(new Provider(), server, target);
  await step("the authorization server takes a code once, with its verifier and redirect URI", async () => {
    const good = await code();
    assert.equal((await redeem(good, server)).status, 200);
    await gives(redeem(good, server), "invalid_grant");
    await gives(redeem({ ...(await code()), code_verifier: "a".repeat(43) }, server), "invalid_grant");
    await gives(redeem({ ...(await code()), redirect_uri: "http://127.0.0.1:33419/" }, server), "invalid_grant");
    await gives(redeem({ ...(await code()), resource: FOREIGN }, server), "invalid_target");
    await gives(redeem({ ...(await code()), client_id: "somebody" }, server), "invalid_client");
  });
  await step("the authorization server redirects to registered places only, and wants S256", async () => {
    const person = new Provider();
    await authorized(person, server, target);
    const elsewhere = new URL(person.authorization);
    elsewhere.searchParams.set("redirect_uri", "http://127.0.0.1:1/");
    assert.equal((await fetch(elsewhere, { redirect: "manual" })).status, 400);
    const plain = new URL(person.authorization);
    plain.searchParams.set("code_challenge_method", "plain");
    assert.equal((await consent(plain)).get("error"), "invalid_request");
    const unknown = new URL(person.authorization);
    unknown.searchParams.set("resource", "https://unknown.example/mcp");
    assert.equal((await consent(unknown)).get("error"), "invalid_target");
  });
}

/** Registers and authorizes for any resource, sidecar or not; what has to be sent to the token endpoint next. */
async function authorized(provider, server, { resource, issuer }) {
  // The SDK asks a sidecar for its metadata; here that answer is given, so that the resource need not exist.
  const metadata = { resource, authorization_servers: [issuer] };
  const { origin } = new URL(issuer);
  const fetchFn = (url, init) => (new URL(url).origin === origin ? fetch(url, init) : Response.json(metadata));
  assert.equal(await auth(provider, { serverUrl: resource, fetchFn }), "REDIRECT");
  return {
    grant_type: "authorization_code",
    client_id: provider.clientInformation().client_id,
    code: provider.answer.get("code"),
    code_verifier: provider.codeVerifier(),
    redirect_uri: REDIRECT,
    resource,
  };
}

function redeem(parameters, server) {
  return fetch(`${server.issuer}/token`, { method: "POST", body: new URLSearchParams(parameters) });
}

async function gives(answer, code) {
  const response = await answer;
  assert.ok(response.status >= 400, `it was accepted, not answered with ${code}`);
  assert.equal((await response.json()).error, code);
}

/** Says `initialize` to the sidecar by hand. */
async function knock(resource, token) {
  const headers = { "Content-Type": "application/json", Accept: "application/json, text/event-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const clientInfo = { name: "by-hand", version: "1.0.0" };
  const params = { protocolVersion: LATEST_PROTOCOL_VERSION, capabilities: {}, clientInfo };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params });
  const response = await fetch(resource, { method: "POST", headers, body });
  const challenge = response.headers.get("www-authenticate") ?? "";
  return { status: response.status, challenge, text: await response.text() };
}

async function refused(resource, token, reason) {
  const { status, challenge, text } = await knock(resource, token);
  assert.equal(status, 401);
  assert.match(challenge, /error="invalid_token"/);
  assert.match(challenge, reason);
  nothingOf([token], challenge + text);
}
