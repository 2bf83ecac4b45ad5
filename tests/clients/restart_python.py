"""Many connections of the Python SDK 1.x that call all the time, for restart.mjs.

In: one line of JSON, then the end of standard input. Out: "ready", then one line of JSON: every call as
[connection, began, ended, error or null].
"""

import asyncio
import json
import logging
import os
import random
import ssl
import sys
import time
from datetime import timedelta

import anyio
import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

PAUSE_S = 8
TIMEOUT = timedelta(seconds=20)
# The SDK's own: reads may take as long as streams do.
TIMEOUTS = httpx.Timeout(30, read=300)
# Read once, not for every connection.
CERTIFICATES = ssl.create_default_context()

calls: list[tuple[int, int, int, str | None]] = []


def now() -> int:
    return time.time_ns() // 1_000_000


async def call(session: ClientSession, connection: int) -> str | None:
    began = now()
    problem = None
    try:
        result = await session.call_tool("list_notes", {"limit": 1})
        if result.isError:
            problem = told(result)
    except anyio.ClosedResourceError:
        raise
    except Exception as error:  # whatever the SDK throws is what its user sees
        problem = f"{type(error).__name__} {error}"[:160]
    calls.append((connection, began, now(), problem))
    return problem


def told(result: CallToolResult) -> str:
    error = (result.structuredContent or {}).get("error", {})
    return f"{'retryable' if error.get('retryable') else 'final'}: {result.content[0].text}"


async def connection_of(index: int, url: str, token: str, ready: asyncio.Barrier, ended: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    is_ready = False
    # This SDK ends a whole connection when one POST gets an HTTP 5xx, as one under way at a kill does from any proxy: at
    # once, or with the next call where the POST was a notification. Its user then has to open another; so does this.
    while not ended.is_set():
        last = now()  # a call, or the handshake and the first one
        try:
            async with (
                httpx.AsyncClient(headers=headers, timeout=TIMEOUTS, verify=CERTIFICATES) as http,
                streamable_http_client(url, http_client=http) as (receive, send, _),
                ClientSession(receive, send, TIMEOUT) as session,
            ):
                await session.initialize()
                problem = await call(session, index)
                if not is_ready:
                    assert problem is None, problem
                    await ready.wait()
                    is_ready = True
                while not ended.is_set():
                    await asyncio.sleep(random.random() * PAUSE_S)
                    last = now()
                    await call(session, index)
        except* Exception as errors:
            calls.append((index, last, now(), f"had to connect again: {innermost(errors)!r}"[:160]))
            # Nobody's program should hammer a server that just refused it.
            await asyncio.sleep(random.random())


def innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    ended = asyncio.Event()
    ready = asyncio.Barrier(len(told["tokens"]) + 1)
    async with asyncio.TaskGroup() as group:
        for index, token in enumerate(told["tokens"]):
            group.create_task(connection_of(index, told["url"], token, ready, ended))
        await ready.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        ended.set()
    print(json.dumps(calls), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
    os._exit(0)
