// The full life of a note, step by step, for any client: each test here brings its own way to list and to call.
//
// `client` is { listTools(): tools, call(name, args): CallToolResult, protocolError(name, args): message }. A call that
// the sidecar refuses is a result with `isError`; only what MCP itself refuses (an unknown tool) may throw.

import assert from "node:assert/strict";

const ENTITIES = ["note", "task", "comment", "chat", "chat_message"];
const SINGLE = ["get", "create", "update", "patch", "delete", "archive", "process"];
const ITEM = ["uid", "version", "updatedAt", "deletedAt", "payload"];

/** The 40 names of the shipped catalogue. */
export const TOOLS = ENTITIES.flatMap((entity) => [
  `list_${entity}s`,
  ...SINGLE.map((operation) => `${operation}_${entity}`),
]);

/** The value of a successful call; the text block must hold the same JSON. */
export function value(result) {
  assert.ok(!result.isError, `refused: ${text(result)}`);
  assert.equal(result.content.length, 1, "one text block");
  assert.deepEqual(JSON.parse(text(result)), result.structuredContent, "the text is not the structured content");
  return result.structuredContent;
}

/** The error of a refused call, checked for what every refusal carries. */
export function refusal(result, code) {
  assert.equal(result.isError, true, `not refused: ${text(result)}`);
  const error = result.structuredContent?.error;
  assert.ok(error, `no structured error beside: ${text(result)}`);
  assert.equal(error.code, code);
  assert.ok(error.message, "no message");
  assert.ok(error.correlation_id, "no correlation id");
  assert.equal(typeof error.retryable, "boolean");
  assert.doesNotMatch(JSON.stringify(result), /127\.0\.0\.1|localhost/, "an internal address is shown");
  return error;
}

/** An item with exactly the five members that every item shows. */
export function item(result) {
  const found = value(result);
  assert.deepEqual(Object.keys(found).sort(), [...ITEM].sort());
  return found;
}

/** Lists, creates, reads, changes, archives and deletes one note, and tries what must be refused on the way. */
export async function lifeOfANote(report, client) {
  const title = `A note of ${process.pid}`;
  let uid;

  await report.step("lists the 40 tools", async () => {
    const tools = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), [...TOOLS].sort());
    for (const tool of tools) {
      assert.ok(tool.description, `${tool.name} has no description`);
      assert.equal(tool.inputSchema.type, "object");
      assert.equal(tool.annotations.readOnlyHint, /^(list|get)_/.test(tool.name), `readOnlyHint of ${tool.name}`);
    }
  });
  await report.step("creates a note", async () => {
    const note = item(await client.call("create_note", { title, content: "Günther's *first* line", tags: ["a", "b"] }));
    assert.equal(note.version, 1);
    assert.equal(note.deletedAt, null);
    assert.deepEqual(note.payload.tags, ["a", "b"]);
    uid = note.uid;
  });
  await report.step("reads it back", async () => {
    const note = item(await client.call("get_note", { uid }));
    assert.equal(note.payload.title, title);
    assert.equal(note.payload.content, "Günther's *first* line");
  });
  await report.step("finds it in the list", async () => {
    const page = value(await client.call("list_notes", { limit: 1000 }));
    assert.deepEqual(Object.keys(page).sort(), ["items", "nextCursor"]);
    assert.ok(page.items.some((note) => note.uid === uid));
  });
  await report.step("updates it at the version it has", async () => {
    const change = { uid, title, content: "second", tags: ["c"], if_match: 1 };
    const note = item(await client.call("update_note", change));
    assert.equal(note.version, 2);
    assert.deepEqual(note.payload.tags, ["c"]);
  });
  await report.step("is refused at a version it no longer has", async () => {
    const change = { uid, title, content: "third", if_match: 1 };
    refusal(await client.call("update_note", change), "VERSION_CONFLICT");
  });
  await report.step("patches one field and keeps the others", async () => {
    const note = item(await client.call("patch_note", { uid, updates: { content: "fourth" }, if_match: 2 }));
    assert.equal(note.payload.content, "fourth");
    assert.equal(note.payload.title, title);
  });
  await report.step("pins it", async () => {
    const note = item(await client.call("process_note", { uid, action: "pin" }));
    assert.equal(note.payload.pinned, true);
  });
  await report.step("is told the actions there are", async () => {
    const error = refusal(await client.call("process_note", { uid, action: "explode" }), "VALIDATION_ERROR");
    assert.equal(error.field, "action");
    assert.ok(error.allowed.includes("pin"));
  });
  await report.step("archives it", async () => {
    const note = item(await client.call("archive_note", { uid }));
    assert.equal(note.payload.status, "archived");
  });
  await report.step("deletes it", async () => {
    assert.ok(item(await client.call("delete_note", { uid })).deletedAt);
  });
  await report.step("is told that it is gone", async () => {
    refusal(await client.call("get_note", { uid }), "GONE");
  });
  await report.step("is told which argument is wrong", async () => {
    const misspelt = refusal(await client.call("create_note", { titel: title, content: "x" }), "VALIDATION_ERROR");
    assert.match(`${misspelt.field} ${misspelt.message}`, /title?/);
    const path = refusal(await client.call("get_note", { uid: "../sync/state" }), "VALIDATION_ERROR");
    assert.equal(path.field, "uid");
  });
  await report.step("gets a protocol error for a tool that does not exist", async () => {
    assert.match(await client.protocolError("no_such_tool", {}), /no_such_tool/);
  });
}

function text(result) {
  return result.content?.[0]?.text ?? JSON.stringify(result);
}
