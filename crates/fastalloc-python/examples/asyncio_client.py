#!/usr/bin/env python3
"""Connections for asyncio: many tasks share a few TCP connections, and broken ones are replaced.

    python examples/asyncio_client.py [TASKS] [CONNECTIONS]
"""

from __future__ import annotations

import asyncio
import sys

from fastalloc import AsyncPool


class Connection:
    """A connection to the server below."""

    opened = 0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        Connection.opened += 1

    async def ask(self, question: str) -> str:
        """Send a line, and wait for one. It is empty if the server has hung up."""
        try:
            self._writer.write(f"{question}\n".encode())
            await self._writer.drain()
            answer = await self._reader.readline()
        except ConnectionError:
            answer = b""
        if not answer:
            self.close()
        return answer.decode().strip()

    def is_usable(self) -> bool:
        """Whether neither side has closed it."""
        return not (self._writer.is_closing() or self._reader.at_eof())

    def close(self) -> None:
        """Close it."""
        self._writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server: what it is told, in capitals. It hangs up after 20 answers."""
    for _ in range(20):
        line = await reader.readline()
        if not line:
            break
        await asyncio.sleep(0.001)
        writer.write(line.upper())
    writer.close()


async def main(tasks: int = 200, connections: int = 5) -> None:
    """The program."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def connect() -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", port))

    pool: AsyncPool[Connection] = AsyncPool(
        Connection,
        connections,
        factory=connect,
        validate=Connection.is_usable,
        destroy=Connection.close,
        enable_statistics=True,
    )

    async def ask(number: int) -> str:
        answer = ""
        while not answer:
            # Waits until a connection is free; the tasks are served in the order in which they came. A connection that
            # the server has closed is replaced, unless that happens at this moment: then we ask again.
            async with pool.allocate() as connection:
                answer = await connection.ask(f"question {number}")
        return answer

    answers = await asyncio.gather(*map(ask, range(tasks)))
    assert answers == [f"QUESTION {number}" for number in range(tasks)]
    stats = pool.stats()
    print(f"{tasks} answers over {Connection.opened} connections, {stats.peak_in_use} of them at a time")
    pool.close()
    server.close()
    await server.wait_closed()
    # The ends that were closed say so to their transports in the next turns of the loop.
    await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
