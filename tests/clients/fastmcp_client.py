"""The client of FastMCP against a running sidecar, in either era: the full life of a note.

Reads MCP_URL and MCP_TOKEN; usage: fastmcp_client.py legacy|2026-07-28|auto [sse]. `auto` has to find the newer one.
"""

import asyncio
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StreamableHttpTransport
from mcp import MCPError

from life import Refused, Result, endpoint, lives

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
TRANSPORTS = {"http": StreamableHttpTransport, "sse": SSETransport}


class FastMcp:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result:
        try:
            result = await self.client.call_tool(tool, arguments, raise_on_error=False)
        except MCPError as refused:
            raise Refused(refused.error.code, refused.error.message) from refused
        return Result(result.is_error, [block.text for block in result.content], result.structured_content)


async def main(mode: str, transport: str = "http") -> int:
    url, headers = endpoint(transport)
    async with Client(TRANSPORTS[transport](url, headers=headers), mode=mode) as client:
        expected = LEGACY if mode == "legacy" else MODERN
        assert client.protocol_version == expected, client.protocol_version
        return await lives(f"FastMCP client, {transport}, {mode}", FastMcp(client))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
