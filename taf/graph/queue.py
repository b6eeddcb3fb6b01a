"""The messages that wait on a thread: read, changed and taken back while their turn has not come."""

from __future__ import annotations

from taf.checkpointer.journal import Journal
from taf.graph.multitask import Queued, opened, queued_of, sealed


async def waiting(journal: Journal, thread_id: str) -> tuple[Queued, ...]:
    """Return what waits, in the order of its turns."""
    mail = await journal.store.mail(journal.key(thread_id))
    return queued_of(journal.codec, thread_id, mail.messages)


async def edit(journal: Journal, thread_id: str, run_id: str, given: object) -> bool:
    """Change one message. Return False when it does not wait."""
    key = journal.key(thread_id)
    for message in (await journal.store.mail(key)).messages:
        if message.run_id == run_id and message.kind == "enqueue":
            config = opened(journal.codec, thread_id, message).config
            return await journal.store.amend(key, message.id, sealed(journal.codec, given, config))
    return False


async def clear(journal: Journal, thread_id: str, run_id: str | None) -> tuple[Queued, ...]:
    """Take out one message, or all of them."""
    key = journal.key(thread_id)
    mail = (await journal.store.mail(key)).messages
    shown = {one.run_id: one for one in queued_of(journal.codec, thread_id, mail)}
    wanted = [one for one in mail if one.kind == "enqueue" and run_id in (None, one.run_id)]
    return tuple([shown[one.run_id] for one in wanted if await journal.store.amend(key, one.id, None)])
