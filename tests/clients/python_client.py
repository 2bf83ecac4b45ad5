"""The official Python SDK 1.x against a running sidecar: the full life of a note.

Reads MCP_URL and MCP_TOKEN; usage: python_client.py http|sse. The SDK checks every successful result against the tool's
output schema by itself.
"""

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import Any

import httpx
from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from life import Refused, Result, endpoint, lives


class Sdk:
    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result:
        try:
            result = await self.session.call_tool(tool, arguments)
        except McpError as refused:
            raise Refused(refused.error.code, refused.error.message) from refused
        return Result(result.isError, [block.text for block in result.content], result.structuredContent)


@asynccontextmanager
async def connected(transport: str):
    url, headers = endpoint(transport)
    if transport == "sse":
        async with sse_client(url, headers=headers) as streams:
            yield streams
        return
    async with httpx.AsyncClient(headers=headers) as http, streamable_http_client(url, http_client=http) as streams:
        yield streams


async def main(transport: str) -> int:
    async with connected(transport) as (receive, send, *_), ClientSession(receive, send) as session:
        await session.initialize()
        return await lives(f"Python SDK 1.x, {transport}", Sdk(session))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
