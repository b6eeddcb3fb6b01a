"""A TCP proxy before a Postgres server that is slow, cuts connections at chosen moments, or swallows everything.

``with running_proxy(dsn) as proxy: ... proxy.dsn``. It runs on a thread of its own, so tests of any kind can use it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.pg.wire import READY, REQUESTS, Statements, ends_request, read_message, read_opening

Action = Literal["cut request", "cut answer", "swallow answer"]
T = TypeVar("T")
PATIENCE = 60.0  # seconds to begin and to end


@dataclass
class Fault:
    """What shall happen to the next ``times`` statements that contain ``text``, after ``skip`` others that do.

    ``cut request``: the server never gets the statement. ``cut answer``: it has done it (and committed, outside a
    transaction), and the connection is cut in place of the answer. ``swallow answer``: likewise, but the connection
    stays, silent. ``hits`` counts those that have happened to the end.
    """

    action: Action
    text: str
    times: int
    skip: int
    hits: int = 0

    def takes(self, statement: str) -> bool:
        """Say whether this statement is hit, and count it."""
        if not self.times or self.text.casefold() not in statement.casefold():
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Proxy:
    """One listening port. Everything public may be used from any thread, at any time."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._parts = parts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="taf-test-proxy", daemon=True)
        self._listener = socket.socket(proto=socket.IPPROTO_TCP)  # by which asyncio knows to send at once
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self.port = 0
        self.latency = 0.0
        """Seconds that everything takes, each way."""
        self.is_black_hole = False
        """While true, connections are accepted and nothing passes; those that lost something stay silent for ever."""
        self.resets = False
        """Whether a cut is a reset, and not an ordinary end."""
        self.connections = 0
        """How many were made so far."""
        self.cuts = 0
        """How many were cut so far, by a fault or by ``cut_all``."""
        self.statements: Counter[str] = Counter()
        """How often each statement came by."""

    @property
    def dsn(self) -> str:
        """The server's address, by way of this proxy."""
        user = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{user}{'@' if user else ''}127.0.0.1:{self.port}"))

    @property
    def open_links(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    def fault(self, action: Action, text: str = "", *, times: int = 1, skip: int = 0) -> Fault:
        """Order a fault; ``text`` in any case of letters, "" is every statement."""
        ordered = Fault(action, text, times, skip)
        with self._lock:
            self._faults.append(ordered)
        return ordered

    def heal(self) -> None:
        """Take all orders back; what was cut stays cut."""
        with self._lock:
            self._faults.clear()
        self.latency, self.is_black_hole = 0.0, False

    def cut_all(self) -> int:
        """Cut every connection and return how many there were."""
        return self._do(self._cut_all())

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        self._do(self._listen())

    def close(self) -> None:
        """Cut everything and end."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, order: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._listener.setblocking(False)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept)  # asyncio's server leaves open whom it lets in as it closes

    def _accept(self) -> None:
        self.connections += 1
        link = _Link(self, self._listener.accept()[0])
        self._links[link] = asyncio.create_task(link.run(self._server))
        self._links[link].add_done_callback(lambda _: self._leave(link))

    def _leave(self, link: _Link) -> None:
        del self._links[link]
        link.close()

    async def _cut_all(self) -> int:
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    async def _end(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._links.values():
            task.cancel()
        await asyncio.gather(*self._links.values(), return_exceptions=True)
        await asyncio.sleep(0)  # what was cut is closed one turn later

    def fault_of(self, statement: str) -> Fault | None:
        """Count a statement and return the fault that hits it. (For the links.)"""
        with self._lock:
            self.statements[statement] += 1
            return next((fault for fault in self._faults if fault.takes(statement)), None)


@dataclass(eq=False)
class _Request:
    """What the server answers with one READY, and the fault that hit a statement in it."""

    fault: Fault | None = None


class _Link:
    """One client's connection, and the one to the server that is made for it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._socket = client
        self._writers: list[asyncio.StreamWriter] = []
        self._statements = Statements()
        self._requests: deque[_Request] = deque()  # sent and not answered, the last one perhaps not sent to its end
        self._asking: _Request | None = None
        self._is_deaf = False

    async def run(self, server: tuple[str, int]) -> None:
        """Pass everything on until one side ends."""
        tasks: list[asyncio.Task[None]] = []
        try:
            client, to_client = await asyncio.open_connection(sock=self._socket)
            self._writers.append(to_client)
            answers, to_server = await asyncio.open_connection(*server)
            self._writers.append(to_server)
            up, down = _Line(self._proxy, to_server), _Line(self._proxy, to_client)
            await self._open(client, to_client, up)
            steps = (self._pass_requests(client, up), self._pass_answers(answers, down), up.run(), down.run())
            tasks = [asyncio.create_task(step) for step in steps]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.IncompleteReadError):
            pass  # a side that is gone ends the other one, below
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """End both sides now."""
        self._proxy.cuts += 1
        if self._proxy.resets:
            # Lingering for no time makes the end a reset.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._abort()
        if not self._writers:  # it was let in just now
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Be done with both sides, whether or not they were ever served."""
        self._abort()
        self._socket.close()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _open(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, up: _Line) -> None:
        while True:
            asks_for_encryption, opening = await read_opening(client)
            if not self._loses():
                if not asks_for_encryption:
                    return up.send(opening)
                to_client.write(b"N")

    async def _pass_requests(self, client: asyncio.StreamReader, up: _Line) -> None:
        while True:
            message = await read_message(client)
            if self._loses():
                continue
            if message[0] in REQUESTS and self._asking is None:
                self._asking = _Request()
                self._requests.append(self._asking)
            statement = self._statements.executed(message)
            fault = None if statement is None else self._proxy.fault_of(statement)
            if fault is not None and fault.action == "cut request":
                fault.hits += 1
                return self.cut()
            if fault is not None and self._asking is not None:
                self._asking.fault = fault
            if ends_request(message[0]):
                self._asking = None
            up.send(message[1])

    async def _pass_answers(self, reader: asyncio.StreamReader, down: _Line) -> None:
        while True:
            kind, raw = await read_message(reader)
            if self._loses():
                continue
            is_ready = kind == ord(READY)
            fault = self._requests[0].fault if self._requests else None
            if is_ready and self._requests:
                self._requests.popleft()
            if fault is None:
                down.send(raw)
            elif is_ready:
                fault.hits += 1
                if fault.action == "cut answer":
                    return self.cut()
                self._is_deaf = True

    def _loses(self) -> bool:
        # A conversation with a hole in it can never go on.
        self._is_deaf = self._is_deaf or self._proxy.is_black_hole
        return self._is_deaf


class _Line:
    """One direction: everything arrives ``proxy.latency`` seconds after it was sent, in order."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writer = writer
        self._under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def send(self, data: bytes) -> None:
        """Put it on its way."""
        self._under_way.put_nowait((time.monotonic() + self._proxy.latency, data))

    async def run(self) -> None:
        """Let things arrive."""
        while True:
            due, data = await self._under_way.get()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            self._writer.write(data)
            await self._writer.drain()


@contextmanager
def running_proxy(dsn: str) -> Generator[Proxy]:
    """Run a proxy before the server that ``dsn`` names."""
    proxy = Proxy(dsn)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
