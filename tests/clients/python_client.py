"""The official Python SDK against a running sidecar: the full life of a note.

Reads MCP_URL, MCP_TOKEN and MCP_TRANSPORT ("http", the default, or "sse", the transport of 2024). Prints one line a step and `N passed, N failed`. The SDK checks every
successful result against the tool's output schema by itself.
"""

import asyncio
import contextlib
import json
import os
import sys
import time

import httpx
from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

ENTITIES = ["note", "task", "comment", "chat", "chat_message"]
SINGLE = ["get", "create", "update", "patch", "delete", "archive", "process"]
TOOLS = {f"list_{entity}s" for entity in ENTITIES} | {
    f"{operation}_{entity}" for entity in ENTITIES for operation in SINGLE
}
ITEM = {"uid", "version", "updatedAt", "deletedAt", "payload"}
INVALID_PARAMS = -32602


class Life:
    """One note from creation to deletion; each method named below is a step."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.title = f"A note of {os.getpid()}"
        self.uid = ""

    async def value(self, tool: str, **arguments: object) -> dict:
        result = await self.session.call_tool(tool, arguments)
        assert not result.isError, result.content[0].text
        assert len(result.content) == 1, "one text block"
        assert json.loads(result.content[0].text) == result.structuredContent, "text and structured content differ"
        return result.structuredContent

    async def item(self, tool: str, **arguments: object) -> dict:
        found = await self.value(tool, **arguments)
        assert set(found) == ITEM, sorted(found)
        return found

    async def refusal(self, code: str, tool: str, **arguments: object) -> dict:
        result = await self.session.call_tool(tool, arguments)
        assert result.isError, f"not refused: {result.structuredContent}"
        error = result.structuredContent["error"]
        assert error["code"] == code, error
        assert error["message"] and error["correlation_id"], error
        return error

    async def lists_the_40_tools(self) -> None:
        tools = (await self.session.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS and len(tools) == len(TOOLS)

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
            await self.session.call_tool("no_such_tool", {})
        except McpError as refused:
            assert refused.error.code == INVALID_PARAMS, refused.error
            assert "no_such_tool" in refused.error.message, refused.error
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


@contextlib.asynccontextmanager
async def connected(url: str, token: str, transport: str):
    """The two streams of a connection."""
    headers = {"Authorization": f"Bearer {token}"}
    if transport == "sse":
        async with sse_client(url.removesuffix("/mcp") + "/sse", headers=headers) as streams:
            yield streams
    else:
        async with (
            httpx.AsyncClient(headers=headers) as http,
            streamable_http_client(url, http_client=http) as (receive, send, _),
        ):
            yield receive, send


async def run(url: str, token: str, transport: str) -> int:
    """Runs every step on one connection; returns how many failed."""
    failed = 0
    async with connected(url, token, transport) as (receive, send), ClientSession(receive, send) as session:
        await session.initialize()
        life = Life(session)
        for step in STEPS:
            name = step.__name__.replace("_", " ")
            started = time.monotonic()
            try:
                await step(life)
                print(f"  ok    {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)
            except Exception as error:  # every failure is a line, and the next step is tried all the same
                failed += 1
                print(f"  FAIL  {name}: {type(error).__name__} {error}", flush=True)
    return failed


def main() -> int:
    transport = os.environ.get("MCP_TRANSPORT", "http")
    print("Python SDK over HTTP+SSE" if transport == "sse" else "Python SDK", flush=True)
    failed = asyncio.run(run(os.environ["MCP_URL"], os.environ["MCP_TOKEN"], transport))
    print(f"{len(STEPS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
