//! What `dev` prints once everything runs: addresses, and blocks to paste into a shell, Claude Desktop, VS Code and the
//! Inspector, and the way to one's own backend.

use secrecy::ExposeSecret;
use serde_json::json;

use super::Running;

/// The whole text.
pub(super) fn text(running: &Running) -> String {
    let url = &running.mcp_url;
    let token = running.token.expose_secret();
    let authorization = format!("Authorization: Bearer {token}");
    let claude = json!({ "mcpServers": { "toolbridge": {
        "command": "npx",
        "args": ["-y", "mcp-remote", url, "--header", "Authorization:${TOOLBRIDGE_AUTHORIZATION}"],
        "env": { "TOOLBRIDGE_AUTHORIZATION": format!("Bearer {token}") },
    }}});
    let vs_code = json!({ "servers": { "toolbridge": {
        "type": "http",
        "url": url,
        "headers": { "Authorization": format!("Bearer {token}") },
    }}});
    format!(
        "\
toolbridge is running. Ctrl-C ends it.

  MCP         {url}
  console     {ops}/console  (what runs here, and a form for every tool)
  operations  {ops}/healthz, {ops}/readyz
  backend     {backend}  (embedded; records: {records})
  token       for user `dev`, good for 12 hours; more: {program} token --sub someone
{examples}
Claude Desktop: claude_desktop_config.json
{claude:#}

VS Code: .vscode/mcp.json
{vs_code:#}

MCP Inspector
  npx -y @modelcontextprotocol/inspector --cli {url} --transport http --header '{authorization}' --method tools/list

Your own backend: write its entities into a tools.yaml, then
  {program} check tools.yaml
  JWT_HS256_SECRET=… JWT_ISSUER=… JWT_AUDIENCE=… TOOLBRIDGE_TENANT__ID=… \\
  TOOLBRIDGE_BACKEND__URL=http://127.0.0.1:8080 {program} serve --catalogue tools.yaml
  (every setting: toolbridge.example.toml)

",
        ops = running.ops_url,
        backend = running.backend_url,
        records = running.records,
        program = running.program,
        examples = examples(running, &authorization),
    )
}

/// A call from a shell and one from this program, where the catalogue has a tool that needs no arguments.
fn examples(running: &Running, authorization: &str) -> String {
    let (Some(tool), url) = (&running.sample_tool, &running.mcp_url) else {
        return String::new();
    };
    let program = &running.program;
    let curl = curl(url, authorization, tool);
    let mut text = format!(
        "\ncurl: {tool}\n  {curl}\n\ntoolbridge as a client\n  {program} call {tool} --url {url}\n"
    );
    if tool == "list_notes" {
        text.push_str(&format!(
            "  {program} call create_note title=Hi content=There --url {url}\n"
        ));
    }
    text
}

/// One request that any shell can send: the 2026-07-28 revision needs no handshake.
fn curl(url: &str, authorization: &str, tool: &str) -> String {
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    format!(
        "curl -s {url} -H '{authorization}' -H 'Content-Type: application/json' \\\n    \
         -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' \\\n    \
         -H 'Mcp-Method: tools/call' -H 'Mcp-Name: {tool}' \\\n    -d '{body}'"
    )
}
