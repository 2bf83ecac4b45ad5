// mcp-remote, which gives clients that only speak stdio a remote server: the TypeScript SDK starts it as they do, and
// lives a note through it. Reads MCP_URL and MCP_TOKEN. Usage: node mcp_remote.mjs http-only|sse-only

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

import { lifeOfANote } from "./life.mjs";
import { Report, required } from "./report.mjs";

const PROGRAM = fileURLToPath(new URL("node_modules/mcp-remote/dist/proxy.js", import.meta.url));
const PATHS = { "http-only": "mcp", "sse-only": "sse" };
const INVALID_PARAMS = -32602;

const transport = process.argv[2];
const url = new URL(PATHS[transport], required("MCP_URL"));
const token = required("MCP_TOKEN");
// It keeps tokens below the home directory; a test leaves none in the reader's.
const home = mkdtempSync(join(tmpdir(), "toolbridge-mcp-remote-"));

const report = new Report(`mcp-remote, ${transport}`);
const client = new Client({ name: "toolbridge-tests", version: "1.0.0" });
let said = "";

await report.step("connects", async () => {
  const args = [PROGRAM, url.href, "--transport", transport, "--header", `Authorization: Bearer ${token}`];
  const env = { PATH: process.env.PATH, HOME: home, MCP_REMOTE_CONFIG_DIR: home };
  const stdio = new StdioClientTransport({ command: process.execPath, args, env, stderr: "pipe" });
  stdio.stderr.on("data", (chunk) => (said += chunk));
  await client.connect(stdio).catch((error) => assert.fail(`${error}; it said:\n${said}`));
  assert.deepEqual(Object.keys(client.getServerCapabilities()), ["tools"]);
});
await lifeOfANote(report, {
  listTools: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  protocolError: async (name, args) => {
    const error = await client.callTool({ name, arguments: args }).then(assert.fail, (refused) => refused);
    assert.equal(error.code, INVALID_PARAMS, `${error}`);
    return error.message;
  },
});
await client.close();
rmSync(home, { recursive: true, force: true });
process.exit(report.close());
