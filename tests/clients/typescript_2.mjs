// The official TypeScript SDK 2.x against a running sidecar, in one of the two eras: the full life of a note. Reads
// MCP_URL and MCP_TOKEN. Usage: node typescript_2.mjs 2025-11-25|2026-07-28|auto [sse] (auto has to find the newer one)

import assert from "node:assert/strict";

import { Client, ProtocolError, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { lifeOfANote } from "./life.mjs";
import { Report, required } from "./report.mjs";

const INVALID_PARAMS = -32602;
const MODERN = "2026-07-28";
const MODES = { "2025-11-25": "legacy", [MODERN]: { pin: MODERN }, auto: "auto" };

const [era, kind = "http"] = process.argv.slice(2);
const mode = MODES[era];
const [Transport, path] = { http: [StreamableHTTPClientTransport, "mcp"], sse: [SSEClientTransport, "sse"] }[kind];
const url = new URL(path, required("MCP_URL"));
const headers = { Authorization: `Bearer ${required("MCP_TOKEN")}` };

const report = new Report(`TypeScript SDK 2.x, ${kind}, ${era}`);
const client = new Client({ name: "toolbridge-tests", version: "1.0.0" }, { versionNegotiation: { mode } });

await report.step("is refused without a token", async () => {
  const stranger = new Client({ name: "stranger", version: "1.0.0" }, { versionNegotiation: { mode } });
  await assert.rejects(stranger.connect(new Transport(url)), (refused) => /401|nauthorized/.test(String(refused)));
});
await report.step("connects", async () => {
  await client.connect(new Transport(url, { requestInit: { headers } }));
  assert.equal(client.getNegotiatedProtocolVersion(), era === "auto" ? MODERN : era);
  assert.deepEqual(Object.keys(client.getServerCapabilities()), ["tools"]);
  assert.ok(client.getInstructions(), "no instructions");
});
await lifeOfANote(report, {
  listTools: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  protocolError: async (name, args) => {
    const error = await client.callTool({ name, arguments: args }).then(assert.fail, (refused) => refused);
    assert.ok(error instanceof ProtocolError, `${error}`);
    assert.equal(error.code, INVALID_PARAMS);
    return error.message;
  },
});
await client.close();
process.exit(report.close());
