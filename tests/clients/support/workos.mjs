// The WorkOS emulator as one environment of WorkOS: people, organizations, memberships, logins. What it says that
// WorkOS would not (a filter on status that filters nothing, no names of organizations) is left as it is.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { answers, freePort, Process } from "./processes.mjs";

/** The key that the emulator accepts when it is not seeded. */
export const API_KEY = "sk_test_default";

const PASSWORD = "correct-horse-battery-staple";
const EMULATOR = fileURLToPath(new URL("../../workos/node_modules/workos/dist/bin.js", import.meta.url));
const LOOPBACK = fileURLToPath(new URL("./loopback.cjs", import.meta.url));

/** A running emulator. */
export async function startWorkOs() {
  const port = await freePort();
  // Run as itself, not through its wrapper, so that the process that is ended is the server.
  const env = { WORKOS_TELEMETRY: "false", NODE_OPTIONS: `--require ${JSON.stringify(LOOPBACK)}` };
  const args = [EMULATOR, "emulate", "--port", `${port}`, "--json"];
  const emulator = new Process("workos emulate", process.execPath, args, env);
  const workos = new WorkOs(port, emulator);
  await emulator.ready(() => answers(`${workos.url}/health`));
  return workos;
}

class WorkOs {
  /** Everything that must not be in anybody's log: the key, passwords, addresses, tokens. */
  secrets = [API_KEY, PASSWORD];

  #emulator;

  constructor(port, emulator) {
    this.#emulator = emulator;
    this.url = `http://127.0.0.1:${port}`;
    // By another name of the same machine, as the tokens say it; keys come from `jwksUrl`.
    this.issuer = `http://localhost:${port}`;
    this.jwksUrl = `${this.url}/sso/jwks/test`;
  }

  stop() {
    return this.#emulator.kill();
  }

  /** A person without a membership; `email` is how they log in. */
  async person(name) {
    const email = `${name}@people.example`;
    this.secrets.push(email);
    const person = { email, password: PASSWORD, email_verified: true };
    const { id } = await this.#ask("POST", "/user_management/users", person);
    return { id, email };
  }

  /** The id of a new organization. */
  async organization(name) {
    return (await this.#ask("POST", "/organizations", { name })).id;
  }

  /** The id of a new, active membership. */
  async join(person, organization) {
    const membership = { user_id: person.id, organization_id: organization, role_slug: "member" };
    const { id, status } = await this.#ask("POST", "/user_management/organization_memberships", membership);
    assert.equal(status, "active");
    return id;
  }

  async deactivate(membership) {
    await this.#ask("PUT", `/user_management/organization_memberships/${membership}/deactivate`);
  }

  /** The organizations of a person, page by page as the API has them. */
  async pages(person) {
    const pages = [];
    let after = null;
    do {
      const query = new URLSearchParams({ user_id: person.id, limit: "100", ...(after && { after }) });
      const page = await this.#ask("GET", `/user_management/organization_memberships?${query}`);
      pages.push(page.data.map((membership) => membership.organization_id));
      after = page.list_metadata.after;
    } while (after);
    return pages;
  }

  /** An access token for `audience` (the emulator takes it from the client id), and for one organization if given. */
  async login(person, audience, organization) {
    const credentials = { grant_type: "password", email: person.email, password: PASSWORD };
    const session = await this.#authenticate({ ...credentials, client_id: audience });
    if (!organization) return session.access_token;
    const scoped = { grant_type: "refresh_token", refresh_token: session.refresh_token, organization_id: organization };
    const { access_token } = await this.#authenticate({ ...scoped, client_id: audience });
    const claims = JSON.parse(Buffer.from(access_token.split(".")[1], "base64url"));
    assert.equal(claims.org_id, organization, "the token is not for the organization");
    return access_token;
  }

  async #authenticate(grant) {
    const session = await this.#ask("POST", "/user_management/authenticate", grant);
    this.secrets.push(session.access_token, session.refresh_token);
    return session;
  }

  async #ask(method, path, body) {
    const headers = { Authorization: `Bearer ${API_KEY}`, ...(body && { "Content-Type": "application/json" }) };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.ok, `the emulator answered ${method} ${path} with ${response.status}: ${text}`);
    return JSON.parse(text);
  }
}
