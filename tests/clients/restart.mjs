// Connections that cannot be lost: 200 legacy connections of three SDKs call all the time, while the sidecar is killed
// (SIGKILL) and started again every two seconds. No call may fail but those under way at a kill; these end soon, with an
// error, and the same connection goes on. Clients reach the sidecar through support/front.mjs, which holds requests
// while nobody listens, as platforms do: "client-visible" is what an SDK throws at its caller behind such a proxy.
//
// Reads TOOLBRIDGE, PYTHON and RMCP_CLIENT, the programs. Usage: node restart.mjs [SECONDS]

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { startAuthorizationServer } from "./authorization_server.mjs";
import { Report, required } from "./report.mjs";
import { startFront } from "./support/front.mjs";
import { startSandbox, startSidecar, steadyPort } from "./support/processes.mjs";

/** So long the sidecar lives before the next kill, from when it is ready: a slow machine has fewer kills, not shorter lives. */
const LIFE_MS = 2000;
const PEOPLE = 20;
/** A call under way at a kill has to end so soon after it, however slow the machine; one that hangs takes 20 s. */
const SOON_MS = 15_000;
/** The programs give up on a call after so long. */
const TIMEOUT_MS = 20_000;
/**
 * Who comes back for an answer twice in vain, because of two more kills, is left waiting by the SDK. That is rare, as long
 * as clients can come back at all.
 */
const RARE = 1 / 10;
const PATIENCE_MS = 60_000;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const CLIENTS = [
  { name: "TypeScript SDK", connections: 70, command: [process.execPath, here("restart_typescript.mjs")] },
  { name: "Python SDK", connections: 65, command: [required("PYTHON"), here("restart_python.py")] },
  { name: "rmcp", connections: 65, command: [required("RMCP_CLIENT")] },
];

const seconds = Number(process.argv[2] ?? 60);
const TOOLBRIDGE = required("TOOLBRIDGE");

const port = await steadyPort();
const front = await startFront(port);
const resource = `${front.url}/mcp`;
const issuer = await startAuthorizationServer({ resources: [resource] });
const rules = ["--issuer", issuer.issuer, "--audience", resource, "--jwks-url", issuer.jwksUrl];
const sandbox = await startSandbox(TOOLBRIDGE, ["--tenants", "off", ...rules]);
const secrets = { SEAL_SECRET: randomBytes(32).toString("hex") };
const start = () =>
  startSidecar(TOOLBRIDGE, {
    publicUrl: front.url,
    backend: sandbox.url,
    settings: {
      "auth.issuer": issuer.issuer,
      "tenant.id": "team",
      "server.listen": `127.0.0.1:${port}`,
      // Ten connections of a person that come again after each kill are more than a person's share.
      "limits.profile": "development",
      "log.level": "info",
    },
    secrets,
  });

const report = new Report(`${CLIENTS.reduce((sum, { connections }) => sum + connections, 0)} legacy connections, a kill every ${LIFE_MS / 1000} s for ${seconds} s`);
let sidecar = await start();
/** From when to when the sidecar was being killed. */
const kills = [];
const clients = [];

await report.step("every connection opens and calls", async () => {
  // One kind after another, so that the slowest does not wait for the others' answers.
  for (const client of CLIENTS) clients.push(await startClient(client));
});
await report.step("the sidecar is killed and started again", async () => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const from = Date.now();
    await sidecar.kill();
    kills.push({ from, to: Date.now() });
    sidecar = await start();
    await pause(LIFE_MS);
  }
});
const ended = clients.map(async (client) => ({ ...client, calls: await client.end() }));
for (const [index, { name }] of CLIENTS.entries()) {
  await report.step(`${name}: no call failed that was not under way at a kill`, async () => judge(await ended[index]));
}
const held = `${front.held} requests waited at the proxy, ${front.broken} broke at a kill`;
console.log(`  ${kills.length} kills; ${held}`);
await sidecar.stop();
await sandbox.stop();
await issuer.stop();
await front.stop();
process.exit(report.close());

/** Starts a program with its share of the connections; it is ready once all of them have called. */
async function startClient({ name, connections, command: [command, ...args] }) {
  const person = (index) => issuer.accessToken({ sub: `person-${index % PEOPLE}`, aud: resource });
  const tokens = Array.from({ length: connections }, (_, index) => person(index));
  const child = spawn(command, args, { env: { PATH: process.env.PATH, HOME: process.env.HOME }, stdio: ["pipe", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(`${JSON.stringify({ url: resource, tokens })}\n`);
  const said = (await lines.next()).value;
  if (said !== "ready") throw new Error(`${name} said ${said}`);
  const end = async () => {
    child.stdin.end();
    const late = pause(PATIENCE_MS).then(() => Promise.reject(new Error(`${name} does not end`)));
    const { value } = await Promise.race([lines.next(), late]);
    return JSON.parse(value);
  };
  return { name, connections, end };
}

/** Calls are [connection, began, ended, error or null], times in milliseconds since 1970. */
function judge({ name, connections, calls }) {
  const atKill = ([, began, ended]) => kills.findLast(({ from, to }) => began <= to && ended >= from);
  const failed = calls.filter(([, , , error]) => error !== null);
  const excused = failed.filter(atKill);
  const unexcused = failed.filter((call) => !atKill(call));
  const final = excused.filter(([, , , error]) => error.startsWith("final"));
  const hung = excused.filter(([, began, ended]) => ended - began >= TIMEOUT_MS);
  const late = excused.filter((call) => call[2] - atKill(call).to > SOON_MS);
  const last = new Map(calls.toSorted((one, other) => one[2] - other[2]).map((call) => [call[0], call]));
  const lost = [...last.values()].filter(([, , ended, error]) => error !== null || ended < kills.at(-1).to);
  const counts = `${calls.length} calls, ${excused.length} under way at a kill failed, ${unexcused.length} others`;
  console.log(`  ${name}: ${counts}; ${hung.length} waited in vain, ${late.length} ended late, ${lost.length} of ${connections} connections lost`);
  for (const [error, number] of kinds(excused)) console.log(`    under way: ${number} × ${error}`);
  if (last.size !== connections) throw new Error(`only ${last.size} connections called`);
  if (unexcused.length) throw new Error(`${unexcused.length} calls failed: ${kinds(unexcused).map(([error, number]) => `${number} × ${error}`).join("; ")}`);
  if (late.length) throw new Error(`${late.length} calls hung after a kill: ${kinds(late).map(([error]) => error).join("; ")}`);
  if (hung.length > excused.length * RARE) throw new Error(`${hung.length} of ${excused.length} calls under way at a kill waited in vain`);
  if (final.length) throw new Error(`${final.length} calls were told not to be repeated: ${kinds(final).map(([error]) => error).join("; ")}`);
  if (lost.length) throw new Error(`${lost.length} connections did not go on: ${kinds(lost).map(([error]) => error).join("; ")}`);
}

/** Messages by how often they came. */
function kinds(calls) {
  const counted = new Map();
  for (const [, , , error] of calls) counted.set(error, (counted.get(error) ?? 0) + 1);
  return [...counted].toSorted(([, one], [, other]) => other - one).slice(0, 5);
}
