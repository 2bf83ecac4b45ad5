// `toolbridge stdio`, started by the official TypeScript SDK as its local server: the full life of a note; then by the
// MCP Inspector's command line, in both eras. Reads MCP_BACKEND (the backend of a running `toolbridge dev`), MCP_TOKEN and
// TOOLBRIDGE (the binary).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";

import { item, lifeOfANote, TOOLS } from "./life.mjs";
import { Report, required } from "./report.mjs";

const command = required("TOOLBRIDGE");
const INSPECTOR = fileURLToPath(new URL("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url));

// What `dev` uses for the same backend; everybody knows these secrets.
const settings = {
  TOOLBRIDGE_ENVIRONMENT: "development",
  TOOLBRIDGE_BACKEND__URL: required("MCP_BACKEND"),
  TOOLBRIDGE_TENANT__ID: "dev-tenant",
  TOOLBRIDGE_AUTH__ISSUER: "toolbridge-dev",
  TOOLBRIDGE_AUTH__AUDIENCE: "toolbridge-dev",
  JWT_HS256_SECRET: "insecure-development-secret-of-toolbridge-never-use-in-production",
  TENANT_HEADER_SECRET: "insecure-tenant-header-secret-of-toolbridge-development",
};
const env = { ...settings, TOOLBRIDGE_TOKEN: required("MCP_TOKEN") };
// Nothing of this folder (a toolbridge.toml, a home) joins in.
const home = mkdtempSync(join(tmpdir(), "toolbridge-stdio-"));

const server = (env) => new StdioClientTransport({ command, args: ["stdio"], env, cwd: home, stderr: "ignore" });

async function inspector(era, ...args) {
  const variables = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const how = ["--transport", "stdio", "--cwd", home, "--protocol-era", era, "--format", "json", "--quiet"];
  const child = spawn(process.execPath, [INSPECTOR, "--cli", ...variables, ...how, ...args, command, "stdio"], {
    env: { ...process.env, HOME: home, MCP_CATALOG_PATH: join(home, "mcp.json") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  assert.equal(code, 0, err || out);
  return JSON.parse(out).result;
}

const report = new Report("TypeScript SDK and MCP Inspector over standard input and output");
const client = new Client({ name: "toolbridge-tests", version: "1.0.0" });

await report.step("does not start without a token", async () => {
  const stranger = new Client({ name: "stranger", version: "1.0.0" });
  await assert.rejects(stranger.connect(server(settings)), (refused) => refused instanceof McpError);
});
await report.step("starts and connects", async () => {
  await client.connect(server(env));
  assert.deepEqual(Object.keys(client.getServerCapabilities()), ["tools"]);
});
await lifeOfANote(report, {
  listTools: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  protocolError: async (name, args) => {
    const error = await client.callTool({ name, arguments: args }).then(assert.fail, (refused) => refused);
    assert.equal(error.code, ErrorCode.InvalidParams);
    return error.message;
  },
});
await report.step("ends with its client", async () => {
  const { pid } = client.transport;
  await client.close();
  assert.throws(() => process.kill(pid, 0), (gone) => gone.code === "ESRCH");
});
for (const era of ["legacy", "modern"]) {
  await report.step(`lists the 40 tools for the Inspector, era ${era}`, async () => {
    const { tools } = await inspector(era, "--method", "tools/list");
    assert.equal(tools.length, TOOLS.length);
  });
  await report.step(`creates a note for the Inspector, era ${era}`, async () => {
    const note = JSON.stringify({ title: "Local", content: era });
    const call = ["--method", "tools/call", "--tool-name", "create_note", "--tool-args-json", note];
    assert.equal(item(await inspector(era, ...call)).payload.content, era);
  });
}
rmSync(home, { recursive: true, force: true });
process.exit(report.close());
