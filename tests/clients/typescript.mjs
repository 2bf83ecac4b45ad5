// The official TypeScript SDK 1.x against a running sidecar: initialize handshake, then the full life of a note. Reads
// MCP_URL and MCP_TOKEN. Usage: node typescript.mjs http|sse

import assert from "node:assert/strict";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";

import { lifeOfANote } from "./life.mjs";
import { Report, required } from "./report.mjs";

const TRANSPORTS = {
  http: { title: "Streamable HTTP", path: "mcp", Transport: StreamableHTTPClientTransport },
  sse: { title: "HTTP+SSE", path: "sse", Transport: SSEClientTransport },
};
const { title, path, Transport } = TRANSPORTS[process.argv[2]];

const url = new URL(path, required("MCP_URL"));
const token = required("MCP_TOKEN");

const report = new Report(`TypeScript SDK 1.x, ${title}`);
const client = new Client({ name: "toolbridge-tests", version: "1.0.0" });

await report.step("is refused without a token", async () => {
  const stranger = new Client({ name: "stranger", version: "1.0.0" });
  await assert.rejects(stranger.connect(new Transport(url)), (refused) => refused.code === 401);
});
await report.step("connects", async () => {
  const headers = { Authorization: `Bearer ${token}` };
  await client.connect(new Transport(url, { requestInit: { headers } }));
  assert.deepEqual(Object.keys(client.getServerCapabilities()), ["tools"]);
  assert.ok(client.getInstructions(), "no instructions");
});
await lifeOfANote(report, {
  // Listing also gives the SDK the output schemas: from here on it checks every result against them, errors included.
  listTools: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  protocolError: async (name, args) => {
    const error = await client.callTool({ name, arguments: args }).then(assert.fail, (refused) => refused);
    assert.ok(error instanceof McpError, `${error}`);
    assert.equal(error.code, ErrorCode.InvalidParams);
    return error.message;
  },
});
await client.close();
process.exit(report.close());
