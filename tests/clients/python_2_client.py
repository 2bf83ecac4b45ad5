"""The official Python SDK 2.x against a running sidecar, in either era: the full life of a note.

Reads MCP_URL and MCP_TOKEN; usage: python_2_client.py legacy|2026-07-28|auto [sse]. `auto` has to find the newer one.
"""

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from life import Refused, Result, endpoint, lives

MODERN = "2026-07-28"
LEGACY = "2025-11-25"


class Sdk:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result:
        try:
            result = await self.client.call_tool(tool, arguments)
        except MCPError as refused:
            raise Refused(refused.error.code, refused.error.message) from refused
        return Result(result.is_error, [block.text for block in result.content], result.structured_content)


@asynccontextmanager
async def transport_of(transport: str):
    url, headers = endpoint(transport)
    if transport == "sse":
        yield sse_client(url, headers=headers)
        return
    async with httpx2.AsyncClient(headers=headers) as http:
        yield streamable_http_client(url, http_client=http)


async def main(mode: str, transport: str = "http") -> int:
    async with transport_of(transport) as streams, Client(streams, mode=mode) as client:
        expected = LEGACY if mode == "legacy" else MODERN
        assert client.protocol_version == expected, client.protocol_version
        return await lives(f"Python SDK 2.x, {transport}, {mode}", Sdk(client))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
