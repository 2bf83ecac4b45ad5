// A hundred thousand handshakes of clients that never come back: the sidecar must not keep any of them in memory. Reads
// MCP_URL, MCP_TOKEN, and SIDECAR, the process whose resident memory is looked at (Linux).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";

import { Report, required } from "./report.mjs";

const HANDSHAKES = 100_000;
const WARM_UP = 2_000;
const AT_ONCE = 16;
const ALLOWED_KIB = 10 * 1024;

const url = new URL(required("MCP_URL"));
const token = required("MCP_TOKEN");
const sidecar = required("SIDECAR");
const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
const body = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-11-25",
    capabilities: { elicitation: {}, roots: { listChanged: true } },
    clientInfo: { name: "never-comes-back", version: "1" },
  },
});
const options = {
  agent,
  host: url.hostname,
  port: url.port,
  path: url.pathname,
  method: "POST",
  headers: {
    Authorization: `Bearer ${token}`,
    "Content-Type": "application/json",
    Accept: "application/json, text/event-stream",
    "Content-Length": Buffer.byteLength(body),
  },
};

function handshake() {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (response) => {
      response.resume();
      response.on("end", () => resolve([response.statusCode, response.headers["mcp-session-id"]]));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function handshakes(count) {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const [status, id] = await handshake();
      assert.equal(status, 200);
      assert.ok(id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

function residentKiB() {
  const status = readFileSync(`/proc/${sidecar}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]);
}

const report = new Report("Handshakes of clients that never come back");
await report.step(`${HANDSHAKES} of them leave resident memory within 10 MB`, async () => {
  await handshakes(WARM_UP);
  const before = residentKiB();
  await handshakes(HANDSHAKES);
  const after = residentKiB();
  console.log(`  resident before ${before} KiB, after ${after} KiB`);
  assert.ok(after - before < ALLOWED_KIB, `${after - before} KiB more`);
});
agent.destroy();
process.exitCode = report.close();
