// The processes that the login tests run: sandbox, sidecar, and others. All are on 127.0.0.1 and on free ports, get
// none of this process's settings, and are killed with this process; what they say is kept, to be searched afterwards.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const PATIENCE_MS = 30_000;
const running = new Set();

process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** A port of 127.0.0.1 that nobody listened on a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * A port of 127.0.0.1 to come back to: below those that the system gives to outgoing connections, so that none of them
 * has it while its owner is away.
 */
export async function steadyPort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** A running program: `output` is all it has said so far, `stop()` ends it with SIGTERM and insists on status 0. */
export class Process {
  output = "";
  #name;
  #child;
  #ended;

  constructor(name, command, args, env = {}) {
    const { PATH, HOME } = process.env;
    this.#name = name;
    this.#child = spawn(command, args, { env: { PATH, HOME, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.#child);
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("close", (status, signal) => resolve(status ?? signal));
    }).finally(() => running.delete(this.#child));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.output += text));
    }
  }

  /** Waits until `probe` returns something; fails with what the program said if it ends or takes too long. */
  async ready(probe) {
    const deadline = Date.now() + PATIENCE_MS;
    while (running.has(this.#child) && Date.now() < deadline) {
      const found = await probe(this.output);
      if (found) return found;
      await pause(20);
    }
    throw new Error(`${this.#name} did not become ready; it said:\n${this.output}`);
  }

  async stop() {
    this.#child.kill("SIGTERM");
    const status = await this.#ended;
    if (status !== 0) throw new Error(`${this.#name} ended with ${status} after SIGTERM; it said:\n${this.output}`);
  }

  /** Ends a program that need not end in good order. */
  async kill() {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

/** Whether something answers 200 there. */
export async function answers(url) {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}

/** `toolbridge sandbox` with these arguments; `url` is where it listens. */
export async function startSandbox(binary, args) {
  const all = ["sandbox", "--listen", "127.0.0.1:0", "--ephemeral", "--no-limits", ...args];
  const sandbox = new Process("the sandbox", binary, all);
  sandbox.url = await sandbox.ready((output) => /listens on (http:\S+?);/.exec(output)?.[1]);
  return sandbox;
}

/**
 * `toolbridge serve` under `publicUrl`, whose port it listens on, in front of `backend`. It logs all it can, so that
 * what must not be in a log can be looked for.
 */
export async function startSidecar(binary, { publicUrl, backend, settings, secrets = {} }) {
  const set = {
    environment: "development",
    "server.listen": new URL(publicUrl).host,
    "server.public_url": publicUrl,
    "ops.listen": "127.0.0.1:0",
    "backend.url": backend,
    "log.level": "trace",
    "log.format": "json",
    ...settings,
  };
  const args = Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  const sidecar = new Process("the sidecar", binary, ["serve", ...args], secrets);
  await sidecar.ready((output) => output.includes('"serving"'));
  return sidecar;
}
