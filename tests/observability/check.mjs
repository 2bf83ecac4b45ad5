// The dashboard and the rules of deploy/, against a running sidecar: MCP_URL, MCP_TOKEN and OPS_URL are its. What promtool can
// say by itself, scripts/observability-check has asked it before.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import yaml from "yaml";

import { Report, required } from "../clients/report.mjs";
import { Prometheus, callEverything, configuration } from "./live.mjs";
import { asked, substituted } from "./promql.mjs";
import { problems } from "./schema.mjs";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const read = (file) => fs.readFileSync(path.join(ROOT, file), "utf8");
const RULES = ["recording.yaml", "alerts.yaml"].map((file) => path.join(ROOT, "deploy/prometheus", file));
const SEVERITIES = ["critical", "warning"];
/** Put in by Prometheus and its blackbox exporter. */
const FOREIGN = { up: [], probe_success: [], probe_ssl_earliest_cert_expiry: [] };
const TARGET = ["job", "instance", "tenant"];

/** What `toolbridge dev` does not have, so that its figures are not there. One that appears has to leave this list. */
const NOT_IN_DEV = {
  toolbridge_jwks_age_seconds: { labels: ["issuer"], why: "dev signs its tokens with a secret: there is no key set" },
  toolbridge_workos_request_duration_seconds: { labels: ["result"], why: "dev asks WorkOS nothing" },
};

/** Panels in which nothing stands while nothing fails. */
const EMPTY_WHEN_WELL = ["Failing tools"];

const dashboard = JSON.parse(read("deploy/grafana/toolbridge.json"));
const panels = dashboard.panels.filter(({ type }) => type !== "row");
const [recording, alerts] = RULES.map((file) => yaml.parse(fs.readFileSync(file, "utf8")).groups.flatMap(({ rules }) => rules));
const expressions = [
  ...panels.flatMap((panel) => panel.targets.map(({ expr }) => ({ where: panel.title, expr }))),
  ...dashboard.annotations.list.map(({ name, expr }) => ({ where: name, expr })),
  ...[...recording, ...alerts].map((rule) => ({ where: rule.record ?? rule.alert, expr: rule.expr })),
];

const report = new Report("Dashboards and alerts");
await report.step(`the dashboard is one by Grafana's own types: ${panels.length} panels`, theTypesHold);
await report.step("a misspelt option would have been found", misspeltOptionsAreFound);
await report.step("every panel has a number, a place, a title, a description, a unit and the chosen data source", panelsAreWhole);
await report.step(`every alert says how bad it is, who can act and where to read on: ${alerts.length}`, alertsAreWhole);
await report.step("every alert is tried firing and quiet", alertsAreTried);
await report.step("the dashboard's file is where Grafana is told to look", provisioningFits);
await againstARunningOne();
process.exitCode = report.close();

function theTypesHold() {
  assert.deepEqual(problems(dashboard), []);
}

function misspeltOptionsAreFound() {
  const copy = structuredClone(dashboard);
  const firsts = [...new Set(panels.map(({ type }) => type))].map((kind) => copy.panels.find(({ type }) => type === kind));
  for (const panel of firsts) panel.options.legendd = {};
  assert.deepEqual(problems(copy).map((problem) => problem.split(":")[0]).sort(), firsts.map(({ title }) => title).sort());
}

function panelsAreWhole() {
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, "an id twice");
  const cells = new Set();
  for (const { title, description, gridPos: at, datasource, targets, fieldConfig } of panels) {
    assert.ok(title && description && fieldConfig.defaults.unit, `${title}: no title, description or unit`);
    for (const { uid } of [datasource, ...targets.map((target) => target.datasource)]) assert.equal(uid, "${datasource}", title);
    assert.ok(at.x + at.w <= 24, `${title} is out of the page`);
    for (let cell = 0; cell < at.w * at.h; cell += 1) {
      const place = `${at.x + (cell % at.w)},${at.y + Math.floor(cell / at.w)}`;
      assert.ok(!cells.has(place), `${title} lies on another panel`);
      cells.add(place);
    }
  }
}

function alertsAreWhole() {
  const headings = read("README.md").match(/^#+ .*$/gm).map(anchor);
  for (const { alert, labels, annotations } of alerts) {
    assert.ok(SEVERITIES.includes(labels.severity), alert);
    assert.ok(annotations.summary.includes("$labels.instance") || alert === "ToolbridgeNoTargets", `${alert}: which one?`);
    assert.match(annotations.description, /Operator:|Whoever /i, `${alert}: who can act?`);
    const [file, place] = annotations.runbook_url.split("#");
    assert.equal(file, "README.md", alert);
    assert.ok(headings.includes(place), `${alert}: README.md has no #${place}`);
  }
}

/** As GitHub makes them of headings. */
function anchor(heading) {
  return heading.replace(/^#+ /, "").toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
}

function alertsAreTried() {
  const tried = yaml.parse(read("deploy/prometheus/alerts_test.yaml")).tests.flatMap((test) => test.promql_expr_test ?? []);
  for (const { alert } of alerts) {
    const its = tried.filter(({ expr }) => expr === `ALERTS{alertname="${alert}", alertstate="firing"}`);
    assert.ok(its.some(({ exp_samples: samples }) => samples.length > 0), `${alert} is never tried firing`);
    assert.ok(its.some(({ exp_samples: samples }) => samples.length === 0), `${alert} is never tried quiet`);
  }
}

function provisioningFits() {
  const [source] = yaml.parse(read("deploy/grafana/provisioning/datasources/prometheus.yaml")).datasources;
  const [provider] = yaml.parse(read("deploy/grafana/provisioning/dashboards/toolbridge.yaml")).providers;
  const { global } = yaml.parse(read("deploy/prometheus/prometheus.yaml"));
  assert.equal(source.type, "prometheus");
  assert.equal(source.jsonData.timeInterval, global.scrape_interval, "rates would be taken over too short a time");
  assert.equal(provider.options.path, "/var/lib/grafana/dashboards");
}

async function againstARunningOne() {
  const [url, token, ops] = ["MCP_URL", "MCP_TOKEN", "OPS_URL"].map(required);
  const shipped = yaml.parse(read("deploy/prometheus/prometheus.yaml"));
  const { config, expected } = configuration(shipped, RULES, new URL(ops).host);
  await callEverything(url, token);
  const prometheus = await Prometheus.start(config);
  try {
    // A rate needs a sample from before a call and one from after it; prepared answers need both and a second more.
    await prometheus.until("up == 1");
    await callEverything(url, token);
    await prometheus.until("instance:toolbridge_calls_failed:ratio_rate5m >= 0");
    await report.step("the ways to find sidecars lead to targets with job, instance and tenant", () => targetsAreFound(prometheus, expected));
    await report.step(`expressions use nothing but figures and labels that a sidecar has: ${expressions.length}`, () => namesExist(ops));
    await report.step("Prometheus takes all rules", () => rulesAreWell(prometheus));
    await report.step("every panel shows something", () => panelsShow(prometheus));
    await report.step("no alert is there while everything is well", () => allIsQuiet(prometheus));
  } finally {
    await prometheus.stop();
  }
}

async function targetsAreFound(prometheus, expected) {
  const { activeTargets } = await prometheus.get("targets", { state: "active" });
  const order = (a, b) => a.instance.localeCompare(b.instance);
  const sidecars = activeTargets.map(({ labels }) => labels).filter(({ job }) => job === "toolbridge");
  assert.deepEqual(sidecars.sort(order), expected.sort(order));
}

async function namesExist(ops) {
  const source = sourceOfTheFamilies();
  const known = new Map(Object.entries(FOREIGN));
  for (const line of (await (await fetch(`${ops}/metrics`)).text()).split("\n")) {
    const [, name, labels] = line.match(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? /) ?? [];
    if (name) known.set(name, [...(known.get(name) ?? []), ...[...(labels ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label)]);
  }
  for (const [name, { labels, why }] of Object.entries(NOT_IN_DEV)) {
    assert.ok(source.includes(`"${name}"`), `${name} is not in the source either`);
    assert.ok(!known.has(name) && !known.has(`${name}_count`), `${name} is there, although ${why}`);
    for (const end of ["", "_bucket", "_count", "_sum"]) known.set(`${name}${end}`, [...labels, "le"]);
  }
  const ours = new Set([...known.values()].flat().concat(TARGET));
  // A prepared answer has what it was made of.
  for (const { record } of recording) known.set(record, [...ours]);
  for (const { where, expr } of expressions) {
    const { selectors, grouping } = asked(substituted(expr));
    for (const { name, labels } of selectors) {
      assert.ok(known.has(name), `${where}: a sidecar has no ${name}`);
      for (const label of labels) assert.ok([...known.get(name), ...TARGET].includes(label), `${where}: ${name} has no ${label}`);
    }
    for (const label of grouping) assert.ok(ours.has(label), `${where}: nothing has a ${label}`);
  }
}

function sourceOfTheFamilies() {
  const files = fs.readdirSync(path.join(ROOT, "src/observe"), { recursive: true }).filter((file) => file.endsWith(".rs"));
  return files.map((file) => read(path.join("src/observe", file))).join("\n");
}

async function rulesAreWell(prometheus) {
  const { groups } = await prometheus.get("rules");
  const rules = groups.flatMap((group) => group.rules);
  assert.equal(rules.length, recording.length + alerts.length);
  for (const { name, health, lastError } of rules) assert.equal(health, "ok", `${name}: ${lastError}`);
}

async function panelsShow(prometheus) {
  const empty = [];
  for (const { title, targets } of panels.filter((panel) => !EMPTY_WHEN_WELL.includes(panel.title))) {
    for (const { expr } of targets.filter((target) => !Object.keys(NOT_IN_DEV).some((name) => target.expr.includes(name)))) {
      if ((await prometheus.series(substituted(expr))) === 0) empty.push(title);
    }
  }
  assert.deepEqual(empty, []);
}

async function allIsQuiet(prometheus) {
  const { alerts: there } = await prometheus.get("alerts");
  assert.deepEqual(there.map(({ labels }) => labels.alertname), []);
}
