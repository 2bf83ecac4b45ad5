// A real Prometheus that scrapes a real sidecar with the shipped configuration, rules included; and calls for it to see.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";

import yaml from "yaml";

const META = "io.modelcontextprotocol/";
const LONGEST_WAIT_MS = 60_000;

/** What each job of prometheus.yaml would discover, all of it the same sidecar; the labels that its targets must get. */
function discovered(address) {
  return {
    fly: { at: address, meta: { __meta_dns_name: "toolbridge-tenant-acme.internal" }, labels: { tenant: "acme", instance: `acme ${address}` } },
    kubernetes: {
      at: address,
      meta: {
        __meta_kubernetes_pod_container_name: "toolbridge",
        __meta_kubernetes_pod_container_port_name: "ops",
        __meta_kubernetes_pod_label_app_kubernetes_io_instance: "blue",
        __meta_kubernetes_namespace: "tenant-blue",
        __meta_kubernetes_pod_name: "toolbridge-0",
      },
      labels: { tenant: "blue", instance: "tenant-blue/toolbridge-0" },
    },
    machines: { at: address, meta: { tenant: "acme" }, labels: { tenant: "acme", instance: address } },
  };
}

/** The same pod's other ports and containers, and one that says no. */
function unwanted(at, meta) {
  const others = [
    { __meta_kubernetes_pod_container_port_name: "mcp" },
    { __meta_kubernetes_pod_container_name: "backend" },
    { __meta_kubernetes_pod_annotation_prometheus_io_scrape: "false" },
  ];
  return others.map((other) => ({ targets: [at], labels: { ...meta, ...other, __meta_kubernetes_pod_name: "unwanted" } }));
}

/**
 * The shipped configuration, scraping every second; what would be discovered is put in by hand, because there is neither
 * Fly nor Kubernetes here, and Debian's Prometheus is built without the latter. What must not be scraped is there too.
 */
export function configuration(shipped, rules, address) {
  const config = structuredClone(shipped);
  config.global = { scrape_interval: "1s", evaluation_interval: "1s" };
  config.rule_files = rules;
  delete config.alerting;
  const found = discovered(address);
  for (const job of config.scrape_configs) {
    // Loaded like the others; no exporter is there, and it is asked once an hour.
    if (job.job_name === "toolbridge-certificates") continue;
    const { at, meta } = found[job.job_name];
    delete job.dns_sd_configs;
    delete job.kubernetes_sd_configs;
    job.static_configs = [{ targets: [at], labels: meta }];
    if (job.job_name === "kubernetes") job.static_configs.push(...unwanted(at, meta));
  }
  return { config, expected: Object.values(found).map(({ labels }) => ({ job: "toolbridge", ...labels })) };
}

/** Runs until `stop`. */
export class Prometheus {
  static async start(config) {
    const self = new Prometheus();
    self.folder = await fs.mkdtemp(path.join(os.tmpdir(), "toolbridge-prometheus-"));
    const file = path.join(self.folder, "prometheus.yaml");
    await fs.writeFile(file, yaml.stringify(config));
    const flags = [`--config.file=${file}`, `--storage.tsdb.path=${self.folder}/data`, "--web.listen-address=127.0.0.1:0"];
    self.process = spawn("prometheus", flags, { stdio: ["ignore", "ignore", "pipe"] });
    self.ended = new Promise((resolve) => self.process.once("close", resolve));
    await self.#ready();
    return self;
  }

  async #ready() {
    const said = [];
    for await (const line of readline.createInterface({ input: this.process.stderr })) {
      said.push(line);
      const address = line.match(/msg="Listening on" address=(\S+)/)?.[1];
      if (address) this.url = `http://${address}`;
      if (line.includes("Server is ready")) {
        this.process.stderr.resume();
        return;
      }
    }
    throw new Error(`Prometheus did not start:\n${said.slice(-5).join("\n")}`);
  }

  async get(what, parameters = {}) {
    const response = await fetch(`${this.url}/api/v1/${what}?${new URLSearchParams(parameters)}`);
    const { status, data, error } = await response.json();
    assert.equal(status, "success", error);
    return data;
  }

  /** How many series the expression gives now that are figures. */
  async series(query) {
    const { resultType, result } = await this.get("query", { query });
    assert.equal(resultType, "vector", `${query} is a ${resultType}`);
    return result.filter(({ value }) => value[1] !== "NaN").length;
  }

  /** Asks until the expression gives something. */
  async until(query) {
    const end = Date.now() + LONGEST_WAIT_MS;
    while ((await this.series(query)) === 0) {
      if (Date.now() > end) throw new Error(`still nothing: ${query}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
    await fs.rm(this.folder, { recursive: true });
  }
}

/** One call of everything that the dashboard shows and a healthy `toolbridge dev` can show. */
export async function callEverything(url, token) {
  const tool = (name, args, from = token) => request(url, from, "tools/call", { name, arguments: args });
  assert.equal(await request(url, token, "tools/list"), 200);
  assert.equal(await tool("list_notes", { limit: 3 }), 200);
  assert.equal(await tool("create_note", { title: "seen", content: "by Prometheus" }), 200);
  assert.equal(await tool("get_note", { uid: "00000000-0000-4000-8000-000000000000" }), 200);
  assert.equal(await tool("get_note", { uid: "nothing" }), 200);
  assert.equal(await tool("list_notes", {}, `${token}x`), 401);
}

async function request(url, token, method, params = {}) {
  const named = params.name ? { "mcp-name": params.name } : {};
  const headers = {
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    authorization: `Bearer ${token}`,
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...named,
  };
  const _meta = {
    [`${META}protocolVersion`]: "2026-07-28",
    [`${META}clientInfo`]: { name: "toolbridge-tests", version: "1.0.0" },
    [`${META}clientCapabilities`]: {},
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta } });
  const response = await fetch(url, { method: "POST", headers, body });
  await response.arrayBuffer();
  return response.status;
}
