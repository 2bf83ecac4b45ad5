// Many connections of the TypeScript SDK that call all the time, for restart.mjs. In: one line of JSON, then the end of
// standard input. Out: "ready", then one line of JSON: every call as [connection, began, ended, error or null].

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const PAUSE_MS = 8000;
const TIMEOUT_MS = 20_000;
const CALL = { name: "list_notes", arguments: { limit: 1 } };

const lines = createInterface({ input: process.stdin });
const [line] = await new Promise((resolve) => lines.once("line", (...args) => resolve(args)));
const { url, tokens } = JSON.parse(line);
let ended = false;
lines.once("close", () => (ended = true));

const calls = [];
async function call(client, connection) {
  const began = Date.now();
  const problem = await client.callTool(CALL, undefined, { timeout: TIMEOUT_MS }).then(
    (result) => (result.isError ? told(result) : null),
    (error) => `${error.name} ${error.code ?? ""} ${error.message}`.slice(0, 160),
  );
  calls.push([connection, began, Date.now(), problem]);
  return problem;
}

function told({ content: [{ text }], structuredContent }) {
  return `${structuredContent?.error?.retryable ? "retryable" : "final"}: ${text}`;
}

const clients = await Promise.all(
  tokens.map(async (token, connection) => {
    const client = new Client({ name: "toolbridge-tests", version: "1.0.0" });
    const headers = { Authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    const problem = await call(client, connection);
    if (problem) throw new Error(problem);
    return client;
  }),
);
console.log("ready");
await Promise.all(
  clients.map(async (client, connection) => {
    while (!ended) {
      await pause(Math.random() * PAUSE_MS);
      await call(client, connection);
    }
  }),
);
process.stdout.write(`${JSON.stringify(calls)}\n`, () => process.exit(0));
