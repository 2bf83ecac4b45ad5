// The stateless revision 2026-07-28 by hand: plain fetch, so that every header and member is one we wrote.
// First what the revision demands of any server, then the full life of a note. Reads MCP_URL and MCP_TOKEN.

import assert from "node:assert/strict";

import { lifeOfANote, value } from "./life.mjs";
import { Report, required } from "./report.mjs";

const REVISION = "2026-07-28";
const META = "io.modelcontextprotocol/";
const HEADER_MISMATCH = -32020;
const UNSUPPORTED_VERSION = -32022;
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;

const url = required("MCP_URL");
const token = required("MCP_TOKEN");
let lastId = 0;

/** Sends one request; `headers` and `meta` replace single values, null leaves one out. */
async function send(method, params = {}, { headers = {}, meta = {} } = {}) {
  lastId += 1;
  const named = params.name === undefined ? {} : { "Mcp-Name": params.name };
  const sent = present({
    Accept: "application/json, text/event-stream",
    "Content-Type": "application/json",
    Authorization: `Bearer ${token}`,
    "MCP-Protocol-Version": REVISION,
    "Mcp-Method": method,
    ...named,
    ...headers,
  });
  const _meta = present({
    [`${META}protocolVersion`]: REVISION,
    [`${META}clientInfo`]: { name: "toolbridge-tests", version: "1.0.0" },
    [`${META}clientCapabilities`]: {},
    ...meta,
  });
  const body = JSON.stringify({ jsonrpc: "2.0", id: lastId, method, params: { ...params, _meta } });
  const response = await fetch(url, { method: "POST", headers: sent, body, redirect: "error" });
  return { status: response.status, headers: response.headers, ...(await answer(response, lastId)) };
}

/** The JSON-RPC answer with this id, whether it came as JSON or as the last event of a stream. */
async function answer(response, id) {
  const body = await response.text();
  const type = response.headers.get("content-type") ?? "";
  const messages = type.startsWith("text/event-stream")
    ? body.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).filter(Boolean)
    : [body].filter(Boolean);
  const parsed = messages.map((message) => {
    try {
      return JSON.parse(message);
    } catch {
      return { notJson: message };
    }
  });
  return parsed.find((message) => message.id === id) ?? parsed[0] ?? {};
}

function present(values) {
  return Object.fromEntries(Object.entries(values).filter(([, member]) => member !== null));
}

function complete({ status, headers, result, error }) {
  assert.equal(status, 200, JSON.stringify(error));
  assert.ok(result, JSON.stringify(error));
  assert.equal(result.resultType, "complete");
  assert.ok(result._meta?.[`${META}serverInfo`]?.name, "no serverInfo");
  assert.equal(headers.get("mcp-session-id"), null, "a connection id in a stateless revision");
  return result;
}

function cacheable(result) {
  assert.ok(Number.isInteger(result.ttlMs) && result.ttlMs >= 0, `ttlMs ${result.ttlMs}`);
  assert.match(result.cacheScope, /^(public|private)$/);
  return result;
}

function refused({ status, error }, expectedStatus, code) {
  assert.equal(status, expectedStatus, JSON.stringify(error));
  assert.equal(error?.code, code, JSON.stringify(error));
  return error;
}

const report = new Report(`Revision ${REVISION} by hand`);
await report.step("discovers a server that offers tools and nothing else", async () => {
  const found = cacheable(complete(await send("server/discover")));
  assert.ok(found.supportedVersions.includes(REVISION));
  assert.deepEqual(Object.keys(found.capabilities), ["tools"]);
  assert.ok(found.instructions);
});
await report.step("lists tools that may be cached", async () => {
  const first = cacheable(complete(await send("tools/list")));
  const second = complete(await send("tools/list"));
  assert.deepEqual(first.tools, second.tools, "the order changes");
});
await report.step("calls without any handshake", async () => {
  value(complete(await send("tools/call", { name: "list_notes", arguments: { limit: 1 } })));
});
await report.step("is refused without a token, before MCP", async () => {
  const { status, headers } = await send("tools/list", {}, { headers: { Authorization: null } });
  assert.equal(status, 401);
  assert.match(headers.get("www-authenticate") ?? "", /^Bearer/);
});
await report.step("is refused when header and body disagree", async () => {
  refused(await send("tools/list", {}, { headers: { "Mcp-Method": "tools/call" } }), 400, HEADER_MISMATCH);
  const call = { name: "list_notes", arguments: {} };
  refused(await send("tools/call", call, { headers: { "Mcp-Name": "delete_note" } }), 400, HEADER_MISMATCH);
  refused(await send("tools/call", call, { headers: { "Mcp-Name": null } }), 400, HEADER_MISMATCH);
});
await report.step("is refused without its capabilities", async () => {
  refused(await send("tools/list", {}, { meta: { [`${META}clientCapabilities`]: null } }), 400, INVALID_PARAMS);
});
await report.step("is told the versions there are", async () => {
  const unknown = { headers: { "MCP-Protocol-Version": "2099-01-01" }, meta: { [`${META}protocolVersion`]: "2099-01-01" } };
  const error = refused(await send("tools/list", {}, unknown), 400, UNSUPPORTED_VERSION);
  assert.ok(error.data.supported.includes(REVISION));
});
await report.step("is refused methods that are not offered", async () => {
  refused(await send("prompts/list"), 404, METHOD_NOT_FOUND);
  refused(await send("ping"), 404, METHOD_NOT_FOUND);
});
await report.step("may only POST", async () => {
  for (const method of ["GET", "DELETE"]) {
    const headers = { Authorization: `Bearer ${token}`, "MCP-Protocol-Version": REVISION, Accept: "text/event-stream" };
    const response = await fetch(url, { method, headers });
    await response.body?.cancel();
    assert.equal(response.status, 405, method);
  }
});
await lifeOfANote(report, {
  listTools: async () => complete(await send("tools/list")).tools,
  call: async (name, args) => complete(await send("tools/call", { name, arguments: args })),
  protocolError: async (name, args) => {
    const { error } = await send("tools/call", { name, arguments: args });
    assert.equal(error?.code, INVALID_PARAMS, JSON.stringify(error));
    return error.message;
  },
});
process.exit(report.close());
