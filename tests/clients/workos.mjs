// Tenants by membership, with the WorkOS emulator for WorkOS: who is in one organization, in 130, in none or no longer
// in one, with tokens for a person and for an organization. Reads TOOLBRIDGE, the binary; starts everything by itself.
// The sandbox wants the tenant signed; what stands before it says which one it was.

import assert from "node:assert/strict";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

import { item, refusal, value } from "./life.mjs";
import { Report, required } from "./report.mjs";
import { freePort, startSandbox, startSidecar } from "./support/processes.mjs";
import { startRecorder } from "./support/recorder.mjs";
import { nothingOf } from "./support/secrets.mjs";
import { API_KEY, startWorkOs } from "./support/workos.mjs";

const TOOLBRIDGE = required("TOOLBRIDGE");
const MANY = 130;
// Memberships are believed for so long (`tenant.cache`).
const CACHE_MS = 2_000;
// A call on its way and a machine that is busy.
const SLACK_MS = 3_000;
// The one that `toolbridge sandbox` checks signatures with (src/cli/sandbox.rs).
const TENANT_SECRET = "insecure-tenant-header-secret-of-toolbridge-development";

const NOTE = { name: "create_note", arguments: { title: "For one organization", content: "and no other" } };

const report = new Report("Tenants by the WorkOS emulator");
const workos = await startWorkOs();
const publicUrl = `http://127.0.0.1:${await freePort()}`;
const resource = `${publicUrl}/mcp`;
const rules = ["--issuer", workos.issuer, "--audience", resource, "--jwks-url", workos.jwksUrl];
const sandbox = await startSandbox(TOOLBRIDGE, ["--tenants", "signed", ...rules]);
const backend = await startRecorder(sandbox.url);
const logs = [];
let sidecar = await serve();

const crowd = [];
for (let n = 1; n <= MANY; n += 1) {
  crowd.push(await workos.organization(`Team ${String(n).padStart(3, "0")}`));
}
const [first, second] = crowd;

await report.step("who is in one organization works there, and is not asked", async () => {
  const ann = await workos.person("ann");
  await workos.join(ann, first);
  const client = await connect(await workos.login(ann, resource));
  await writesFor(client, first);
  assert.equal(await workspace(client), first);
});
await report.step("who is in no organization is refused", async () => {
  const nobody = await workos.person("nobody");
  const client = await connect(await workos.login(nobody, resource));
  await isRefused(client, "FORBIDDEN");
});
await report.step("a token for another audience is refused", async () => {
  const ann = await workos.person("ann-elsewhere");
  await workos.join(ann, first);
  const token = await workos.login(ann, "https://mcp.other-team.example/mcp");
  await assert.rejects(connect(token), (refused) => refused.code === 401);
});
await report.step("a membership that is not active does not count", async () => {
  const ben = await workos.person("ben");
  await workos.deactivate(await workos.join(ben, first));
  await workos.join(ben, second);
  const client = await connect(await workos.login(ben, resource));
  await writesFor(client, second);
  assert.equal(await workspace(client), second);
});
await ofManyOrganizations();
await asked();
await revoked();
await unreachable();
await report.step("neither tokens, addresses nor the key are in any log", async () => {
  await end();
  await backend.stop();
  await sandbox.stop();
  assert.match(logs.join(), /create_note/, "the log is empty");
  nothingOf(workos.secrets, logs.join("\n"));
  nothingOf(workos.secrets, sandbox.output);
});
process.exit(report.close());

async function ofManyOrganizations() {
  const mia = await workos.person("mia");
  for (const organization of crowd) await workos.join(mia, organization);
  const [page, rest] = await workos.pages(mia);
  // Two on the second page, which nobody finds who reads one page.
  const [chosen, other] = rest;
  const client = await connect(await workos.login(mia, resource));

  await report.step(`who is in ${MANY} organizations, on two pages, is told all and how to choose`, async () => {
    assert.deepEqual([page.length, rest.length], [100, MANY - 100], "the emulator has other pages");
    const error = await isRefused(client, "TENANT_SELECTION_REQUIRED");
    assert.match(error.message, /select_workspace/);
    assert.deepEqual(error.organizations.map(({ id }) => id).sort(), [...crowd].sort());
    assert.equal(await workspace(client), undefined);
  });
  await report.step("select_workspace takes one of the second page, and calls are for it from then on", async () => {
    assert.equal(value(await select(client, chosen)).id, chosen);
    assert.equal(await workspace(client), chosen);
    await writesFor(client, chosen);
  });
  await report.step("select_workspace takes none that the person is not in", async () => {
    refusal(await select(client, await workos.organization("Strangers")), "FORBIDDEN");
    assert.equal(await workspace(client), chosen);
  });
  await report.step("after another choice, calls are for the other one", async () => {
    value(await select(client, other));
    await writesFor(client, other);
    value(await select(client, chosen));
  });
  await report.step("a token for an organization is for that one, whatever was chosen", async () => {
    const there = await connect(await workos.login(mia, resource, other));
    await writesFor(there, other);
    assert.equal(await workspace(there), other);
    refusal(await select(there, chosen), "FORBIDDEN");
    await writesFor(there, other);
    await writesFor(client, chosen);
  });
}

async function asked() {
  const zoe = await workos.person("zoe");
  await workos.join(zoe, first);
  await workos.join(zoe, second);
  const client = await connect(await workos.login(zoe, resource), { elicitation: { form: {} } });
  const forms = [];
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    forms.push(params);
    const [field] = Object.keys(params.requestedSchema.properties);
    return { action: "accept", content: { [field]: second } };
  });
  await report.step("whose client shows forms is asked, once, and the call goes on", async () => {
    await writesFor(client, second);
    assert.equal(forms.length, 1);
    const offered = JSON.stringify(forms[0].requestedSchema);
    assert.ok(offered.includes(first) && offered.includes(second), offered);
    assert.equal(await workspace(client), second);
  });
}

async function revoked() {
  const leo = await workos.person("leo");
  const membership = await workos.join(leo, second);
  const personal = await workos.login(leo, resource);
  const scoped = await workos.login(leo, resource, second);
  await report.step("who is a member works, with a token for the person or for the organization", async () => {
    await writesFor(await connect(personal), second);
    await writesFor(await connect(scoped), second);
  });
  await report.step("who is no longer one is refused with the same tokens within the cache time, by the same sidecar", async () => {
    const clients = [await connect(personal), await connect(scoped)];
    for (const client of clients) await writesFor(client, second);
    await workos.deactivate(membership);
    for (const client of clients) await refusedWithin(CACHE_MS, client);
  });
}

async function unreachable() {
  const eva = await workos.person("eva");
  await workos.join(eva, first);
  const client = await connect(await workos.login(eva, resource));
  await report.step("while WorkOS cannot be reached, nobody new is let in, and told to try again", async () => {
    await workos.stop();
    assert.equal((await isRefused(client, "BACKEND_UNAVAILABLE")).retryable, true);
  });
}

function serve() {
  const settings = {
    "auth.issuer": workos.issuer,
    "auth.audience": resource,
    "auth.jwks_url": workos.jwksUrl,
    "tenant.mode": "workos",
    "tenant.cache": `${CACHE_MS}ms`,
    "tenant.workos_url": workos.url,
    // Whoever asks without a pause until an answer changes is over the limits of people.
    "limits.profile": "development",
  };
  const secrets = { WORKOS_API_KEY: API_KEY, TENANT_HEADER_SECRET: TENANT_SECRET };
  return startSidecar(TOOLBRIDGE, { publicUrl, backend: backend.url, settings, secrets });
}

/** Ends the sidecar and keeps what it logged. */
async function end() {
  await sidecar.stop();
  logs.push(sidecar.output);
}

async function connect(token, capabilities = {}) {
  const client = new Client({ name: "toolbridge-tests", version: "1.0.0" }, { capabilities });
  const headers = { Authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { requestInit: { headers } }));
  return client;
}

/** The id of the organization that calls are for, if it is known. */
async function workspace(client) {
  return value(await client.callTool({ name: "current_workspace", arguments: {} })).current?.id;
}

function select(client, organization) {
  return client.callTool({ name: "select_workspace", arguments: { organization } });
}

/** A note is written and read back, and every request to the backend is for that organization. */
async function writesFor(client, organization) {
  backend.take();
  const { uid } = item(await client.callTool(NOTE));
  const note = item(await client.callTool({ name: "get_note", arguments: { uid } }));
  assert.equal(note.payload.title, NOTE.arguments.title);
  const tenants = backend.take();
  assert.ok(tenants.length >= 2, "the backend was not asked");
  assert.deepEqual([...new Set(tenants)], [organization]);
}

/** Asks again and again until the membership is no longer believed; that this was in time. */
async function refusedWithin(limit, client) {
  const revoked = performance.now();
  for (;;) {
    const { isError } = await client.callTool({ name: "list_notes", arguments: {} });
    const passed = performance.now() - revoked;
    if (isError) break;
    assert.ok(passed < limit + SLACK_MS, `still let in after ${Math.round(passed)} ms`);
  }
  await isRefused(client, "FORBIDDEN");
}

/** The call is refused with that code, and the backend hears nothing of it. */
async function isRefused(client, code) {
  backend.take();
  const error = refusal(await client.callTool(NOTE), code);
  assert.deepEqual(backend.take(), [], "the backend was asked all the same");
  return error;
}
