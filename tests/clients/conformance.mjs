// The official conformance suite against two running sidecars that ask for no token (the suite cannot send one).
//
// The first serves the shipped catalogue: every scenario that needs nothing but an honest tools server. The second is
// the conformance profile (tests/conformance): everything the two requirement sets run, scored or not, because it has the
// tools, prompts and resources that the suite calls by name. Usage: node conformance.mjs CATALOGUE_URL PROFILE_URL

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What the shipped catalogue has to pass. */
const WITHOUT_FIXTURES = {
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

/** How many scenarios each set requires of a server; another number means another suite. */
const REQUIRED = { "2025-11-25": 30, "2026-07-28": 37 };

/** Scenarios of the sets that are not about this product, and why. */
const NOT_OURS = [[/^tasks-/, "an extension that is not offered"]];

const PROGRAM = fileURLToPath(new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));

/** Runs the suite; what it printed, its exit code, and the checks of each scenario by name. */
async function suite(command, ...args) {
  const results = mkdtempSync(join(tmpdir(), "toolbridge-conformance-"));
  const output = command === "server" ? ["--output-dir", results] : [];
  const child = spawn(process.execPath, [PROGRAM, command, ...args, ...output], { stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  child.stderr.on("data", (chunk) => (printed += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  const checks = new Map();
  for (const file of readdirSync(results, { recursive: true }).filter((file) => file.endsWith("checks.json"))) {
    const [, scenario] = /^server-(.+)-\d{4}-\d\d-\d\dT/.exec(file);
    checks.set(scenario, JSON.parse(readFileSync(join(results, file), "utf8")));
  }
  rmSync(results, { recursive: true, force: true });
  return { code, printed, checks };
}

/** The scenarios for servers that a set requires, and those it runs without scoring them. */
async function requirements(revision) {
  const { printed } = await suite("list", "--requirements", revision);
  const [scored, unscored] = printed.split("Run and reported, but never scored:");
  const [, servers] = /Server scenarios[^\n]*\n([\s\S]*?)\n\n/.exec(scored);
  const named = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name);
  return { required: named(servers, /- (\S+)/g), unscored: named(unscored, /- (\S+) \[server\]/g) };
}

/** Prints one line a scenario, and counts. */
class Table {
  passed = 0;
  failed = 0;

  constructor() {
    this.#line("revision", "served", "scenario", "result", "checks");
  }

  /** Green: something was checked, nothing failed, and not even a warning was given. */
  add(revision, served, scenario, checks = []) {
    const aside = NOT_OURS.find(([pattern]) => pattern.test(scenario));
    if (aside) return this.#line(revision, served, scenario, "n/a", aside[1]);
    const count = (status) => checks.filter((check) => check.status === status).length;
    const [passed, failures, warnings, skipped] = ["SUCCESS", "FAILURE", "WARNING", "SKIPPED"].map(count);
    const green = passed > 0 && failures === 0 && warnings === 0;
    const counted = [`${passed} passed`];
    if (failures) counted.push(`${failures} failed`);
    if (warnings) counted.push(`${warnings} warned`);
    if (skipped) counted.push(`${skipped} skipped`);
    this.#line(revision, served, scenario, green ? "ok" : "FAIL", counted.join(", "));
    this[green ? "passed" : "failed"] += 1;
    if (green) return;
    const bad = checks.filter(({ status }) => status === "FAILURE" || status === "WARNING");
    for (const { id, status, errorMessage } of bad) console.log(`    ${status} ${id}: ${errorMessage}`);
  }

  #line(revision, served, scenario, result, rest) {
    console.log(revision.padEnd(12) + served.padEnd(11) + scenario.padEnd(47) + result.padEnd(8) + rest);
  }
}

async function main(catalogueUrl, profileUrl) {
  const table = new Table();
  for (const [revision, scenarios] of Object.entries(WITHOUT_FIXTURES)) {
    for (const scenario of scenarios) {
      const chosen = ["--scenario", scenario, "--spec-version", revision];
      const { checks } = await suite("server", "--url", catalogueUrl, ...chosen);
      table.add(revision, "catalogue", scenario, checks.get(scenario));
    }
  }
  const scores = [];
  for (const [revision, number] of Object.entries(REQUIRED)) {
    const { required, unscored } = await requirements(revision);
    const { code, printed, checks } = await suite("server", "--url", profileUrl, "--requirements", revision);
    const before = table.failed;
    for (const scenario of required) table.add(revision, "profile", scenario, checks.get(scenario));
    scores.push(`${revision}: ${required.length - (table.failed - before)}/${number} required`);
    for (const scenario of unscored) table.add(revision, "profile", scenario, checks.get(scenario));
    // Red without a red scenario, or another set than the one that is known.
    if ((code !== 0 && table.failed === before) || required.length !== number) {
      table.failed += 1;
      console.log(`The suite ended with ${code}, and requires ${required.length} scenarios:`);
      console.log(printed.trimEnd().replace(/^/gm, "    "));
    }
  }
  console.log(scores.join(", "));
  console.log(`${table.passed} passed, ${table.failed} failed`);
  return table.failed === 0 ? 0 : 1;
}

process.exit(await main(...process.argv.slice(2)));
