"""Carry the bus of a Redis Cluster between its nodes, so that a test can cut a node off: `clusters.py` starts it.

The nodes announce ports of this process. It reads from each connection's first message which node sends, and holds the
traffic between two nodes back while they are severed. To the nodes that looks like a pulled cable: connections stay
open, and nothing arrives.

Standard input has one line of JSON with `[port, node, real port]` for each node, and then a line with all severed pairs
of nodes for each change. Each line is answered with `ok`.
"""

import asyncio
import json
import os
import sys

#: Where the header of a message names the node that sends it.
SENDER = slice(40, 80)


class Bus:
    """All connections between the nodes, by the pair of nodes that they connect."""

    def __init__(self) -> None:
        self._severed: set[frozenset[str]] = set()
        self._open: dict[frozenset[str], set[asyncio.StreamWriter]] = {}

    async def listen(self, port: int, node: str, real_port: int) -> None:
        """Accept the connections to a node."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._carry(reader, writer, node, real_port)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        await asyncio.start_server(accept, "127.0.0.1", port)

    def sever(self, pairs: list[list[str]]) -> None:
        """Hold back the traffic of these pairs, and of no other ones."""
        before, self._severed = self._severed, set(map(frozenset, pairs))
        for pair in before - self._severed:
            # What was held back is gone, so these connections begin anew.
            for writer in self._open.pop(pair, set()):
                writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, node: str, real_port: int
    ) -> None:
        head = await reader.readexactly(SENDER.stop)
        pair = frozenset((head[SENDER].decode(), node))
        there, back = await asyncio.open_connection("127.0.0.1", real_port)
        both = {writer, back}
        self._open.setdefault(pair, set()).update(both)
        try:
            if pair not in self._severed:
                back.write(head)
            await asyncio.gather(self._copy(reader, back, pair), self._copy(there, writer, pair))
        finally:
            self._open.get(pair, set()).difference_update(both)
            back.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: frozenset[str]) -> None:
        try:
            while data := await reader.read(65536):
                if pair not in self._severed:
                    writer.write(data)
        finally:
            writer.close()


async def _main() -> None:
    bus = Bus()
    loop = asyncio.get_running_loop()
    for port, node, real_port in json.loads(sys.stdin.readline()):
        await bus.listen(port, node, real_port)
    print("ok", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        bus.sever(json.loads(line))
        print("ok", flush=True)
    # Connections are still open, and nothing waits for their end.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main())
