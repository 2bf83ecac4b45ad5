// The console in real Chromium, against a real sidecar before a real sandbox: what an operator does, in the order in which
// it is done, and what a hostile catalogue tries. scripts/console-test starts the sidecars and says where they are; pictures
// of the page are left in target/console for people to look at.

import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { Report, required } from "../clients/report.mjs";
import { Process, startSidecar, steadyPort } from "../clients/support/processes.mjs";

const TOOLBRIDGE = required("TOOLBRIDGE");
const PICTURES = required("PICTURES");
const NOWHERE = "00000000-0000-4000-8000-000000000000";
const run = promisify(execFile);
const OPS_TOKEN = "operators-token-of-the-console-test-0123456789";

const [mcpPort, opsPort] = [await steadyPort(), await steadyPort()];
const [MCP, OPS] = [`http://127.0.0.1:${mcpPort}/mcp`, `http://127.0.0.1:${opsPort}`];

/** `toolbridge dev` on these ports, ready. */
async function startDev() {
  const args = ["dev", "--json", "--ephemeral", "--port", String(mcpPort), "--ops-port", String(opsPort), "--backend-port", "0"];
  const dev = new Process("toolbridge dev", TOOLBRIDGE, args);
  const line = await dev.ready((output) => /^{"mcp_url".*}$/m.exec(output)?.[0]);
  return Object.assign(dev, JSON.parse(line));
}

let dev = await startDev();
const TOKEN = dev.token;

const must = (holds, what) => {
  if (!holds) throw new Error(what);
};
const equal = (got, wanted) => must(got === wanted, `${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`);

await mkdir(PICTURES, { recursive: true });
const browser = await chromium.launch({ executablePath: required("CHROMIUM"), args: ["--no-sandbox", "--disable-gpu"] });
const report = new Report(`console in Chromium ${browser.version()}`);

/** A page of its own, and everything it asked for or complained of. */
async function opened(options = {}, url = `${OPS}/console`) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  const seen = { asked: [], complaints: [] };
  page.on("request", (request) => seen.asked.push(request.url()));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text());
  });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
  await page.goto(url);
  return { context, page, seen };
}

/** Nothing was asked of anybody else, and no policy was broken. */
async function clean({ page, seen }, allowed = []) {
  const strangers = seen.asked.filter((url) => !url.startsWith(`${OPS}/`) && !url.startsWith("data:"));
  equal(strangers.join(), "");
  equal((await page.evaluate(() => window.violations)).join(), "");
  equal(seen.complaints.filter((text) => !allowed.some((known) => text.includes(known))).join("\n"), "");
}

/** An MCP call from outside, as a client makes it. */
async function calls(tool, args, { token = TOKEN, client = "claude-ai" } = {}) {
  const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}, "io.modelcontextprotocol/clientInfo": { name: client, version: "1.2.0" } };
  const response = await fetch(MCP, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", accept: "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: args, _meta: meta } }),
  });
  const text = await response.text();
  return JSON.parse(text.replace(/^[\s\S]*?data: /, "")).result.structuredContent;
}

/** Some people's work, so that there is something to see: each within the limits that the sandbox has for one person. */
async function traffic() {
  const clients = ["claude-ai", "vscode", "cursor"];
  for (const [round, name] of ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"].entries()) {
    const { stdout } = await run(TOOLBRIDGE, ["token", "--sub", name]);
    const person = { token: stdout.trim(), client: clients[round % 3] };
    const { uid } = await calls("create_note", { title: `Of ${name}`, content: "Seen in the console" }, person);
    await Promise.all(["list_tasks", "list_notes", "list_chats"].slice(round % 3).map((tool) => calls(tool, { limit: 5 }, person)));
    await calls("get_note", { uid }, person);
    await calls("create_comment", { content: "Good", parent_type: "note", parent_uid: uid }, person);
    if (round % 4 === 1) await calls("get_note", { uid: NOWHERE }, person);
    if (round % 5 === 2) await calls("create_comment", { content: "x" }, person);
    await calls("archive_note", { uid }, person);
  }
}

const main = await opened();
const { page } = main;

await report.step("the page opens and says that the sidecar is ready", async () => {
  await page.getByText("Ready", { exact: true }).waitFor();
  must((await page.locator("#tiles .tile").count()) >= 6, "tiles are missing");
  await page.locator("#subtitle").getByText(MCP).waitFor();
});

await report.step("a tool is found by searching, with its cost and its schema", async () => {
  await page.getByRole("tab", { name: /Tools/ }).click();
  await page.getByLabel("Search tools").fill("create_note");
  await page.locator('[data-tool="create_note"]').click();
  equal(await page.locator("#tool-list li").count(), 1);
  must(/\d+ tokens/.test(await page.locator("#tool .toolhead").first().innerText()), "no cost");
  await page.getByText("Input schema").click();
  await page.locator(".json").getByText('"additional_fields"').first().waitFor();
});

let correlation;
await report.step("a write is tried, after one more click, in the caller's name", async () => {
  await page.getByLabel("Caller's token").fill(TOKEN);
  await page.locator("#argument-title").fill("From the console");
  await page.locator("#argument-content").fill("Tried in Chromium");
  await page.locator("#argument-tags").fill('["console"]');
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByRole("button", { name: "Yes, write it" }).click();
  const result = page.locator("#tool .result");
  await result.getByText("ok", { exact: true }).waitFor();
  await result.getByText('"From the console"').waitFor();
  correlation = await result.locator(".mono").last().innerText();
  must(/^[0-9a-f-]{36}$/.test(correlation), correlation);
  const { items } = await calls("list_notes", { limit: 1000 });
  equal(items.filter((item) => item.payload.title === "From the console").length, 1);
});

await report.step("what is wrong is said beside its field, and what the backend refuses with its code", async () => {
  await page.getByLabel("Search tools").fill("get_note");
  await page.locator('[data-tool="get_note"]').click();
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("This one is required.").waitFor();
  await page.locator("#argument-uid").fill(NOWHERE);
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator("#tool .result .badge").getByText("NOT_FOUND").waitFor();
});

await report.step("the call has appeared, and its waterfall names its hops", async () => {
  await page.getByRole("tab", { name: "Live" }).click();
  await page.getByLabel("Tool", { exact: true }).fill(correlation);
  const row = page.locator("tr.call:visible");
  await row.waitFor();
  equal(await row.count(), 1);
  must((await row.innerText()).includes("create_note"), "another tool");
  await row.getByRole("button", { name: "create_note" }).press("Enter");
  const hops = await page.locator(".fall [data-hop]").evaluateAll((found) => found.map((hop) => hop.dataset.hop));
  for (const hop of ["verify", "session", "request", "present"]) must(hops.includes(hop), `no ${hop} in ${hops}`);
  const widths = await page.locator(".fall .track i").evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().width));
  must(widths.length === hops.length && widths.every((width) => width >= 2), `bars of ${widths}`);
  const facts = await page.locator(".facts").innerText();
  must(facts.includes(correlation) && facts.includes("console"), facts);
  await page.getByLabel("Tool", { exact: true }).fill("");
});

await report.step("calls of clients appear by themselves; outcomes can be chosen", async () => {
  await traffic();
  await page.locator("tr.call", { hasText: "claude-ai 1.2.0" }).first().waitFor();
  // The page looks once a second, and may see some of the calls before the others: the last one of each person is this.
  await page.locator("tr.call", { hasText: "archive_note" }).nth(7).waitFor({ state: "attached" });
  await page.getByLabel("Outcome").selectOption("failed");
  const outcomes = await page.locator("tr.call:visible .badge").allInnerTexts();
  must(outcomes.length > 0 && outcomes.every((word) => word !== "ok"), outcomes.join());
  await page.getByLabel("Outcome").selectOption("");
});

await report.step("rate and latency are drawn with axes", async () => {
  await page.locator("#latency .dot").nth(10).waitFor({ state: "attached" });
  for (const plot of ["#rate", "#latency"]) {
    must((await page.locator(`${plot} text`).count()) >= 7, `${plot} has no axes`);
    must(!/undefined|NaN|Infinity/.test(await page.locator(plot).innerHTML()), `${plot} is broken`);
  }
  must((await page.locator("#rate .bar-ok").count()) > 0, "no bars");
  must(/p50 [\d.]+ m?s, p99 /.test(await page.locator("#latency-note").innerText()), "no quantiles");
  await page.screenshot({ path: `${PICTURES}/live-light.png` });
});

await report.step("the snippets name this sidecar and no token", async () => {
  await page.getByRole("tab", { name: "Connect" }).click();
  for (const id of ["claude-code", "claude-desktop", "vscode", "cursor"]) {
    const text = await page.locator(`#snippet-${id} pre`).innerText();
    must(text.includes(MCP), `${id}: ${text}`);
    if (text.startsWith("{")) JSON.parse(text);
    must(!text.includes(TOKEN) && /YOUR_ACCESS_TOKEN|\$\{input:/.test(text), `${id}: ${text}`);
  }
  await page.screenshot({ path: `${PICTURES}/connect-light.png` });
});

await report.step("the tabs can be walked with the keyboard", async () => {
  await page.getByRole("tab", { name: "Connect" }).focus();
  await page.keyboard.press("ArrowRight");
  must(await page.locator("#live").isVisible(), "no live part");
  await page.keyboard.press("ArrowRight");
  must(await page.locator("#tools").isVisible(), "no tools part");
  await page.getByLabel("Search tools").fill("");
  await page.locator('[data-tool="create_task"]').click();
  await page.screenshot({ path: `${PICTURES}/tools-light.png` });
});

await report.step("calls that are more than the sidecar keeps between two looks are counted, and no others", async () => {
  const busy = await opened();
  await busy.page.getByText("Ready", { exact: true }).waitFor();
  await busy.page.locator("tr.call").first().waitFor();
  must(await busy.page.locator("#missed").isHidden(), "calls from before the first look are not missed");
  let [hold, pass] = [];
  const held = new Promise((resolve) => { hold = resolve; });
  const gate = new Promise((resolve) => { pass = resolve; });
  await busy.page.route("**/console/calls?*", async (route) => {
    hold();
    await gate;
    await route.continue();
  });
  await held;
  // Refused before the backend is asked, so that its limits are not met.
  for (let round = 0; round < 5; round += 1) await Promise.all(Array.from({ length: 46 }, () => calls("get_note", {})));
  pass();
  await busy.page.locator("#missed").getByText("30 calls not shown").waitFor();
  equal(await busy.page.locator("tr.call").count(), 200);
  // One that is shown is not missed, and leaves what was missed there.
  await calls("get_task", {});
  await busy.page.locator("tr.call", { hasText: "get_task" }).waitFor();
  must((await busy.page.locator("#missed").innerText()).startsWith("30 calls not shown"), "another number");
  await busy.page.screenshot({ path: `${PICTURES}/missed-light.png` });
  await clean(busy);
  await busy.context.close();
});

await report.step("nothing was asked of anybody else, and no policy was broken", () => clean(main));

await report.step("in the dark, on a telephone, and with no tab open by mouse", async () => {
  for (const [name, options] of [
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    ["phone-dark", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" }],
  ]) {
    const other = await opened(options);
    await other.page.getByText("Ready", { exact: true }).waitFor();
    await other.page.locator("tr.call").nth(5).waitFor();
    if (options.colorScheme === "dark") {
      const ground = await other.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      must(Number(/\d+/.exec(ground)[0]) < 60, `the ground is ${ground}`);
    }
    await other.page.locator("tr.call button").nth(2).click();
    for (const part of ["live", "tools", "connect"]) {
      await other.page.goto(`${OPS}/console#${part}`);
      await other.page.locator(`#${part}`).waitFor();
      const overflow = await other.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(overflow <= 0, `${name}, ${part}: ${overflow} px too wide`);
      const clip = options.isMobile ? { x: 0, y: 0, width: 390, height: 1500 } : undefined;
      await other.page.screenshot({ path: `${PICTURES}/${part}-${name}.png`, fullPage: Boolean(clip), clip });
    }
    await clean(other);
    await other.context.close();
  }
});

await report.step("markup in names, words and errors stays text", async () => {
  const bait = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  const hostile = await opened({}, "about:blank");
  const pad = (value) => ({ status: 200, contentType: "application/json", body: JSON.stringify(value) });
  await hostile.context.route("**/console/catalogue", (route) => route.fulfill(pad({
    server: { name: bait, title: bait }, tokens: 1,
    tools: [{ name: bait, title: bait, description: bait, effect: "read", scopes: [bait], tokens: 1, input_schema: { properties: { [bait]: { type: "string", description: bait, enum: [bait] } }, required: [bait] }, output_schema: { [bait]: bait } }],
  })));
  await hostile.context.route("**/console/calls?*", (route) => route.fulfill(pad({
    last: 1,
    calls: [{ number: 1, at: new Date().toISOString(), tool: bait, alias: bait, tenant: bait, person: bait, client: bait, protocol: bait, outcome: bait, status: 200, duration_ms: 1, backend_ms: 1, session_ms: 1, request_bytes: 1, response_bytes: 1, retries: 0, sessions: 1, repeated: false, correlation_id: bait, trace_id: bait, hops: [{ name: "request", start_ms: 0, ms: 1 }, { name: 'x" onload="window.hit=1', start_ms: 0, ms: 1 }] }],
  })));
  await hostile.context.route("**/console/try", (route) => route.fulfill(pad({ outcome: bait, result: { error: { code: bait, message: bait } }, correlation_id: bait })));
  await hostile.page.goto(`${OPS}/console`);
  await hostile.page.locator("tr.call button").click();
  await hostile.page.locator(".facts").getByText(bait).first().waitFor();
  await hostile.page.getByRole("tab", { name: /Tools/ }).click();
  await hostile.page.locator("#tool .form select").selectOption({ index: 1 });
  await hostile.page.getByRole("button", { name: "Run" }).click();
  await hostile.page.locator("#tool .says").getByText(bait).waitFor();
  await hostile.page.getByRole("tab", { name: "Connect" }).click();
  equal(await hostile.page.evaluate(() => window.hit), undefined);
  equal(await hostile.page.locator("main img, main script, header img, header script").count(), 0);
  await clean(hostile);
  await hostile.context.close();
});

await report.step("a port that wants the operator's token is asked with it, and it is kept for the tab alone", async () => {
  const [port, ops] = [await steadyPort(), await steadyPort()];
  const url = `http://127.0.0.1:${ops}`;
  const sidecar = await startSidecar(TOOLBRIDGE, {
    publicUrl: `http://127.0.0.1:${port}`,
    backend: dev.backend_url,
    settings: { "ops.listen": `127.0.0.1:${ops}`, "auth.mode": "none", "tenant.id": "acme", "writes.journal": "off" },
    secrets: { OPS_TOKEN },
  });
  // As a proxy passes it on: whoever asks is somewhere else then.
  const guarded = await opened({}, "about:blank");
  await guarded.context.setExtraHTTPHeaders({ "x-forwarded-for": "203.0.113.7" });
  await guarded.page.goto(`${url}/console`);
  await guarded.page.locator("#ask-token").fill("wrong");
  await guarded.page.getByRole("button", { name: "Open the console" }).click();
  await guarded.page.getByText("That token was not accepted.").waitFor();
  await guarded.page.locator("#ask-token").fill(OPS_TOKEN);
  await guarded.page.screenshot({ path: `${PICTURES}/token-light.png` });
  await guarded.page.getByRole("button", { name: "Open the console" }).click();
  await guarded.page.locator("#tiles .tile").first().waitFor();
  const kept = await guarded.page.evaluate(() => [localStorage.length, document.cookie]);
  equal(JSON.stringify(kept), '[0,""]');
  const next = await guarded.context.newPage();
  await next.goto(`${url}/console`);
  await next.locator("#ask[open]").waitFor();
  await guarded.context.close();
  must(!sidecar.output.includes(OPS_TOKEN), "the log holds the operator's token");
  await sidecar.stop();
});

await report.step("a sidecar that is gone is said to be gone, and found again by itself", async () => {
  await page.getByRole("tab", { name: "Live" }).click();
  await dev.stop();
  await page.getByRole("alert").getByText("does not answer").waitFor();
  await page.getByText("No answer", { exact: true }).waitFor();
  await page.screenshot({ path: `${PICTURES}/gone-light.png` });
  dev = await startDev();
  await page.getByText("Ready", { exact: true }).waitFor();
  // It is another process, which has seen no calls but those that made its sample records.
  must(await page.locator("#banner").isHidden(), "the banner stays");
  await clean(main, ["ERR_CONNECTION_REFUSED"]);
});

await browser.close();
await dev.stop();
process.exit(report.close());
