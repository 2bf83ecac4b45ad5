// MCP Inspector's command line against a running sidecar: the full life of a note, one process a call, in the legacy era
// that Inspector picks by default, and a shorter life in the stateless one. Reads MCP_URL and MCP_TOKEN.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { item, lifeOfANote, TOOLS } from "./life.mjs";
import { Report, required } from "./report.mjs";

const TOOL_ERROR = 5; // Inspector's exit code for a result with isError, and for a tool that is not in the list
const PROGRAM = fileURLToPath(new URL("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url));

const url = required("MCP_URL");
const token = required("MCP_TOKEN");
// Inspector keeps state under the home directory; a test leaves none in the reader's.
const home = mkdtempSync(join(tmpdir(), "toolbridge-inspector-"));

async function inspector(era, ...args) {
  const fixed = [PROGRAM, "--cli", url, "--transport", "http", "--header", `Authorization: Bearer ${token}`];
  const how = ["--protocol-era", era, "--stored-auth-only", "--format", "json", "--quiet"];
  const child = spawn(process.execPath, [...fixed, ...how, ...args], {
    env: { ...process.env, HOME: home, MCP_CATALOG_PATH: join(home, "mcp.json") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  return { code, out, err };
}

function client(era) {
  return {
    // `--strict`: Inspector also judges whether other clients can read the schemas, and fails where one cannot.
    listTools: async () => {
      const { code, out, err } = await inspector(era, "--method", "tools/list", "--strict");
      assert.equal(code, 0, err || out);
      return JSON.parse(out).result.tools;
    },
    call: async (name, args) => {
      const call = ["--method", "tools/call", "--tool-name", name, "--tool-args-json", JSON.stringify(args)];
      const { code, out, err } = await inspector(era, ...call);
      assert.ok(out, err);
      const { result } = JSON.parse(out);
      assert.equal(code, result.isError ? TOOL_ERROR : 0, err);
      return result;
    },
    // Inspector looks the name up in the list and never sends it.
    protocolError: async (name) => {
      const { code, err } = await inspector(era, "--method", "tools/call", "--tool-name", name);
      assert.equal(code, TOOL_ERROR, err);
      return err;
    },
  };
}

const report = new Report("MCP Inspector (command line)");
await lifeOfANote(report, client("legacy"));
const modern = client("modern");
await report.step("lists the 40 tools without a handshake", async () => {
  assert.equal((await modern.listTools()).length, TOOLS.length);
});
await report.step("creates and deletes a note without a handshake", async () => {
  const { uid } = item(await modern.call("create_note", { title: "Stateless", content: "No handshake" }));
  assert.ok(item(await modern.call("delete_note", { uid })).deletedAt);
});
rmSync(home, { recursive: true, force: true });
process.exit(report.close());
