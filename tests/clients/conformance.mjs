// The official conformance suite against a running sidecar that asks for no token (the suite cannot send one).
//
// It runs every scenario of both requirement sets that needs nothing but an honest tools server. The other scenarios
// call tools, prompts and resources by fixed names (`test_simple_text`, `test://static-text` …) that only a fixture
// server has, or demand capabilities that this product does not offer. Usage: node conformance.mjs URL

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SCENARIOS = {
  "2025-11-25": [
    "server-initialize",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
    "server-session-lifecycle", // run by the set, not scored by it
  ],
  "2026-07-28": [
    "tools-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
    "input-required-result-unsupported-methods",
    "http-header-validation", // run by the set, not scored by it
  ],
};
const PROGRAM = fileURLToPath(new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));

/** Runs one scenario; its checks, and what the suite printed. */
async function run(url, revision, scenario) {
  const results = mkdtempSync(join(tmpdir(), "toolbridge-conformance-"));
  const chosen = ["--scenario", scenario, "--spec-version", revision];
  const child = spawn(process.execPath, [PROGRAM, "server", "--url", url, ...chosen, "--output-dir", results], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  child.stderr.on("data", (chunk) => (printed += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  const files = readdirSync(results, { recursive: true }).filter((file) => file.endsWith("checks.json"));
  const checks = files.flatMap((file) => JSON.parse(readFileSync(join(results, file), "utf8")));
  rmSync(results, { recursive: true, force: true });
  return { code, checks, printed };
}

/** Green: the suite is content, something was checked, and not even a warning was given. */
function judge({ code, checks }) {
  const count = (status) => checks.filter((check) => check.status === status).length;
  const passed = count("SUCCESS");
  const complaints = count("FAILURE") + count("WARNING");
  return { passed, complaints, skipped: count("SKIPPED"), green: code === 0 && passed > 0 && complaints === 0 };
}

async function main(url) {
  const scenarios = Object.entries(SCENARIOS).flatMap(([revision, names]) => names.map((name) => [revision, name]));
  let failed = 0;
  console.log(`${"revision".padEnd(12)}${"scenario".padEnd(44)}${"result".padEnd(8)}checks`);
  for (const [revision, scenario] of scenarios) {
    const outcome = await run(url, revision, scenario);
    const { passed, complaints, skipped, green } = judge(outcome);
    const counted = `${passed} passed${complaints ? `, ${complaints} failed` : ""}${skipped ? `, ${skipped} skipped` : ""}`;
    console.log(`${revision.padEnd(12)}${scenario.padEnd(44)}${(green ? "ok" : "FAIL").padEnd(8)}${counted}`);
    if (!green) {
      failed += 1;
      console.log(outcome.printed.trimEnd().replace(/^/gm, "    "));
    }
  }
  console.log(`${scenarios.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exit(await main(process.argv[2]));
