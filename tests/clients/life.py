"""The full life of a note, step by step, for any Python client: each test beside this brings its own way to list and to
call. Prints one line a step and `N passed, N failed`, as report.mjs does.
"""

import json
import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

ENTITIES = ["note", "task", "comment", "chat", "chat_message"]
SINGLE = ["get", "create", "update", "patch", "delete", "archive", "process"]
TOOLS = {f"list_{entity}s" for entity in ENTITIES} | {
    f"{operation}_{entity}" for entity in ENTITIES for operation in SINGLE
}
ITEM = {"uid", "version", "updatedAt", "deletedAt", "payload"}
INVALID_PARAMS = -32602


@dataclass
class Result:
    """What every SDK says of a call, under names of ours."""

    is_error: bool
    texts: list[str]
    structured: Any


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client(Protocol):
    """A connected client; `call` raises Refused for a JSON-RPC error."""

    async def tools(self) -> list[str]: ...

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result: ...


class Life:
    """One note from creation to deletion; each method named in STEPS is a step."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.title = f"A note of {os.getpid()}"
        self.uid = ""

    async def value(self, tool: str, **arguments: object) -> dict:
        result = await self.client.call(tool, arguments)
        assert not result.is_error, result.texts
        assert len(result.texts) == 1, "one text block"
        assert json.loads(result.texts[0]) == result.structured, "text and structured content differ"
        return result.structured

    async def item(self, tool: str, **arguments: object) -> dict:
        found = await self.value(tool, **arguments)
        assert set(found) == ITEM, sorted(found)
        return found

    async def refusal(self, code: str, tool: str, **arguments: object) -> dict:
        result = await self.client.call(tool, arguments)
        assert result.is_error, f"not refused: {result.structured}"
        error = result.structured["error"]
        assert error["code"] == code, error
        assert error["message"] and error["correlation_id"], error
        return error

    async def lists_the_40_tools(self) -> None:
        tools = await self.client.tools()
        assert set(tools) == TOOLS and len(tools) == len(TOOLS)

    async def creates_a_note(self) -> None:
        note = await self.item("create_note", title=self.title, content="Günther's *first* line", tags=["a", "b"])
        assert note["version"] == 1 and note["deletedAt"] is None
        self.uid = note["uid"]

    async def creates_from_json_in_a_string(self) -> None:
        note = await self.item("create_note", title="Strings", content="As some clients send them", tags='["a", "b"]')
        assert note["payload"]["tags"] == ["a", "b"]

    async def reads_it_back(self) -> None:
        payload = (await self.item("get_note", uid=self.uid))["payload"]
        assert payload["title"] == self.title and payload["content"] == "Günther's *first* line"

    async def finds_it_in_the_list(self) -> None:
        page = await self.value("list_notes", limit=1000)
        assert set(page) == {"items", "nextCursor"}
        assert self.uid in {note["uid"] for note in page["items"]}

    async def updates_it_at_the_version_it_has(self) -> None:
        note = await self.item("update_note", uid=self.uid, title=self.title, content="second", if_match=1)
        assert note["version"] == 2

    async def is_refused_at_a_version_it_no_longer_has(self) -> None:
        await self.refusal(
            "VERSION_CONFLICT", "update_note", uid=self.uid, title=self.title, content="third", if_match=1
        )

    async def patches_one_field_and_keeps_the_others(self) -> None:
        payload = (await self.item("patch_note", uid=self.uid, updates={"content": "fourth"}))["payload"]
        assert payload["content"] == "fourth" and payload["title"] == self.title

    async def pins_it(self) -> None:
        assert (await self.item("process_note", uid=self.uid, action="pin"))["payload"]["pinned"] is True

    async def archives_it(self) -> None:
        assert (await self.item("archive_note", uid=self.uid))["payload"]["status"] == "archived"

    async def deletes_it(self) -> None:
        assert (await self.item("delete_note", uid=self.uid))["deletedAt"]

    async def is_told_that_it_is_gone(self) -> None:
        await self.refusal("GONE", "get_note", uid=self.uid)

    async def is_told_which_argument_is_wrong(self) -> None:
        assert (await self.refusal("VALIDATION_ERROR", "get_note", uid="../sync/state"))["field"] == "uid"

    async def gets_a_protocol_error_for_a_tool_that_does_not_exist(self) -> None:
        try:
            await self.client.call("no_such_tool", {})
        except Refused as refused:
            assert refused.code == INVALID_PARAMS, refused.code
            assert "no_such_tool" in str(refused), refused
        else:
            raise AssertionError("answered")


STEPS = [
    Life.lists_the_40_tools,
    Life.creates_a_note,
    Life.creates_from_json_in_a_string,
    Life.reads_it_back,
    Life.finds_it_in_the_list,
    Life.updates_it_at_the_version_it_has,
    Life.is_refused_at_a_version_it_no_longer_has,
    Life.patches_one_field_and_keeps_the_others,
    Life.pins_it,
    Life.archives_it,
    Life.deletes_it,
    Life.is_told_that_it_is_gone,
    Life.is_told_which_argument_is_wrong,
    Life.gets_a_protocol_error_for_a_tool_that_does_not_exist,
]


async def lives(title: str, client: Client) -> int:
    """Runs every step on one connection; the exit code."""
    print(title, flush=True)
    life = Life(client)
    failed = 0
    for step in STEPS:
        name = step.__name__.replace("_", " ")
        started = time.monotonic()
        try:
            await step(life)
            print(f"  ok    {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)
        except Exception as error:  # every failure is a line, and the next step is tried all the same
            failed += 1
            print(f"  FAIL  {name}: {type(error).__name__} {error}", flush=True)
    print(f"{len(STEPS) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def endpoint(transport: str) -> tuple[str, dict[str, str]]:
    """Where a transport is served, and the headers it needs there."""
    url = os.environ["MCP_URL"]
    path = {"http": url, "sse": url.removesuffix("/mcp") + "/sse"}
    return path[transport], {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
