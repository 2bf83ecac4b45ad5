// What to paste where, so that a client finds this sidecar. In: its URL and name. Out: the Connect part of the page. Never
// a real token: the page knows none of a caller's.

import { byId, copyButton, el } from "./dom.js";

const TOKEN = "YOUR_ACCESS_TOKEN";
const written = (value) => JSON.stringify(value, null, 2);

/** Snippets for this address; `asksTokens` where callers need one. */
export function showConnect(url, name, asksTokens) {
  const server = /^[A-Za-z0-9_-]{1,64}$/.test(name) ? name : "toolbridge";
  byId("connect-lead").textContent = asksTokens
    ? `MCP is served at ${url}. Put your own access token where ${TOKEN} stands; clients that can log in by themselves (OAuth) need no header where your issuer offers that.`
    : `MCP is served at ${url}, to everybody who can reach it (auth.mode = none).`;
  byId("snippets").replaceChildren(...snippets(url, server, asksTokens).map(card));
}

function snippets(url, server, asksTokens) {
  const bearer = `Bearer ${TOKEN}`;
  const header = asksTokens ? { headers: { Authorization: bearer } } : {};
  const remote = { command: "npx", args: ["-y", "mcp-remote", url] };
  if (asksTokens) {
    // A header with a space in an argument does not survive on every platform.
    remote.args.push("--header", "Authorization:${TOOLBRIDGE_AUTHORIZATION}");
    remote.env = { TOOLBRIDGE_AUTHORIZATION: bearer };
  }
  const asked = { inputs: [{ type: "promptString", id: "toolbridge-token", description: "Access token", password: true }] };
  const code = { ...(asksTokens ? asked : {}), servers: { [server]: { type: "http", url, ...(asksTokens ? { headers: { Authorization: "Bearer ${input:toolbridge-token}" } } : {}) } } };
  const flag = asksTokens ? ` \\\n  --header "Authorization: ${bearer}"` : "";
  return [
    ["claude-code", "Claude Code", "In a shell, once.", `claude mcp add --transport http ${server} ${url}${flag}`],
    ["claude-desktop", "Claude Desktop", "Settings, Developer, Edit Config: claude_desktop_config.json. Then start Claude anew.", written({ mcpServers: { [server]: remote } })],
    ["vscode", "VS Code", "Into .vscode/mcp.json of the workspace. VS Code asks for the token once and keeps it.", written(code)],
    ["cursor", "Cursor", "Into ~/.cursor/mcp.json, or .cursor/mcp.json of the project.", written({ mcpServers: { [server]: { url, ...header } } })],
    ["inspector", "MCP Inspector", "In a shell: lists the tools.", `npx -y @modelcontextprotocol/inspector --cli ${url} --transport http${asksTokens ? ` \\\n  --header 'Authorization: ${bearer}'` : ""} \\\n  --method tools/list`],
  ];
}

function card([id, name, where, text]) {
  return el("article", { class: "panel snippet", id: `snippet-${id}` },
    el("div", { class: "bar" }, el("h2", { class: "grow" }, name), copyButton(() => text)),
    el("p", {}, where), el("pre", { tabindex: 0, "aria-label": `For ${name}` }, el("code", {}, text)));
}
