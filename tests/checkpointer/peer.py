"""Another process at the same database: it reads calls from its standard input, and answers each by one line."""

import asyncio
import json
import sys
from typing import Any

from taf.checkpointer.base import Commit, Record, Signal, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import TafError

KEY = ThreadKey("", "thread")


class Peer:
    """What can be called. All calls use one checkpointer, each in an event loop of its own."""

    def __init__(self) -> None:
        self.store: SqliteCheckpointer | None = None

    async def open(self, path: str) -> None:
        self.store = SqliteCheckpointer(path)

    async def close(self) -> None:
        assert self.store is not None
        await self.store.aclose()

    async def acquire(self, thread: str = KEY.thread, lease_seconds: float = 15.0) -> list[int] | None:
        assert self.store is not None
        grant = await self.store.acquire(ThreadKey("", thread), lease_seconds=lease_seconds)
        return grant and [grant.epoch, grant.stored.head]

    async def append(self, epoch: int, head: int, thread: str = KEY.thread, is_release: bool = False) -> list[str]:
        assert self.store is not None
        record = Record(head + 1, "step", "run-1", 1.0, b"by the peer")
        key = ThreadKey("", thread)
        signals = await self.store.append(Commit(key, epoch, head, [record], "running", "run-1", is_release=is_release))
        return [signal.kind for signal in signals]

    async def signal(self, kind: str) -> bool:
        assert self.store is not None
        return await self.store.signal(KEY, Signal(kind, "run-1"))


def main() -> None:
    peer = Peer()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        answer: Any
        try:
            answer = {"value": asyncio.run(getattr(peer, name)(**arguments))}
        except TafError as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
