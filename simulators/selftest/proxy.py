"""A TCP proxy that breaks connections the way networks do.

    with ProxyLoop() as loop, TcpProxy(loop, "partner", ("127.0.0.1", port)) as proxy:
        proxy.port                               where to connect instead
        proxy.begin(Break("reset_after"))        … until proxy.end(the same)

What it promises: while nothing is broken, bytes pass unchanged in both ways; what it does to a connection is what
`Break.kind` says and nothing else. `reset` is a real RST (SO_LINGER 0), `silent` is a connection whose far side has
vanished without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

KINDS: Final = {
    "refuse": "соединения не принимаются",
    "reset_before": "обрыв (RST) до передачи запроса",
    "reset_after": "обрыв (RST) после передачи запроса, до ответа",
    "silent": "полуоткрытое соединение: байты исчезают молча",
    "slow": "медленный канал",
    "cut": "ответ обрывается посередине",
}
PIECE_BYTES = 64 * 1024
SLOW_STEP_S = 0.05
CALL_S = 10.0

Target = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Break:
    """What is broken. share: part of the exchanges that it strikes, 0…1; bytes_s: for "slow"."""

    kind: str
    share: float = 1.0
    bytes_s: int = 20_000


class ProxyLoop:
    """The event loop of all proxies, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> ProxyLoop:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run in the loop and wait."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)


class TcpProxy:
    """One listening port in front of one target. `begin` and `end` may be called from any thread."""

    def __init__(self, loop: ProxyLoop, name: str, target: Target, *, seed: int = 0) -> None:
        self.name = name
        self.target = target
        self.port = 0
        self.broken = 0
        """Connections that it has broken so far."""
        self._loop = loop
        self._random = random.Random(seed)
        self._breaks: list[Break] = []
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> TcpProxy:
        self._loop.call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call(self._close())

    def begin(self, broken: Break) -> None:
        """From now on it is so, for connections that are open too."""
        self._loop.call(self._begin(broken))

    def end(self, broken: Break) -> None:
        """Well again. Connections that were silent are reset: the far side is back and knows nothing of them."""
        self._loop.call(self._end(broken))

    def reset_all(self) -> int:
        """RST every open connection, as a restarted firewall does; how many there were."""
        return self._loop.call(self._reset_all())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True, backlog=128)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._deafen()
        await self._reset_all()

    async def _begin(self, broken: Break) -> None:
        self._breaks.append(broken)
        if broken.kind == "refuse":
            await self._deafen()

    async def _end(self, broken: Break) -> None:
        self._breaks.remove(broken)
        kinds = {one.kind for one in self._breaks}
        if "refuse" not in kinds and self._server is None:
            await self._listen()
        if "silent" not in kinds:
            for connection in [one for one in self._connections if one.silent]:
                connection.reset()

    async def _reset_all(self) -> int:
        found = list(self._connections)
        for connection in found:
            connection.reset()
        return len(found)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            if isinstance(self.target, str):
                above = await asyncio.open_unix_connection(self.target)
            else:
                above = await asyncio.open_connection(*self.target)
            connection.above = above[1]
            ways = [self._upward(connection, reader, above[1]), self._downward(connection, above[0], writer)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if connection.silent and not task.done():
                    await task  # its other half may end; nobody tells this one
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _upward(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                broken = self._choose()
                if connection.silent or (broken and broken.kind == "silent"):
                    self.broken += not connection.silent
                    connection.silent = True
                elif broken and broken.kind == "reset_before":
                    self.broken += 1
                    connection.reset()
                    return
                else:
                    connection.doomed = broken if broken and broken.kind in ("reset_after", "cut") else None
                    await self._pass(writer, piece, broken)

    async def _downward(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if connection.silent:
                    continue
                if connection.doomed:
                    self.broken += 1
                    if connection.doomed.kind == "cut":
                        writer.write(piece[: len(piece) // 2])
                        await writer.drain()
                        connection.close()
                    else:
                        connection.reset()
                    return
                await self._pass(writer, piece, self._choose())

    async def _pass(self, writer: asyncio.StreamWriter, piece: bytes, broken: Break | None) -> None:
        if broken is None or broken.kind != "slow":
            writer.write(piece)
            await writer.drain()
            return
        step = max(1, int(broken.bytes_s * SLOW_STEP_S))
        for start in range(0, len(piece), step):
            writer.write(piece[start : start + step])
            await writer.drain()
            if broken in self._breaks:
                await asyncio.sleep(SLOW_STEP_S)

    def _choose(self) -> Break | None:
        """What strikes this piece; the first one that does."""
        for broken in self._breaks:
            if broken.kind != "refuse" and self._random.random() < broken.share:
                return broken
        return None


class _Connection:
    """A client and what lies behind it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client
        self.above: asyncio.StreamWriter | None = None
        self.silent = False
        self.doomed: Break | None = None

    def reset(self) -> None:
        """RST in both ways."""
        for writer in filter(None, (self._client, self.above)):
            with contextlib.suppress(OSError):
                end = writer.get_extra_info("socket")
                if end is not None and end.family != socket.AF_UNIX:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        for writer in filter(None, (self._client, self.above)):
            writer.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
