"""Messages that come into a run while it goes on, between two of its steps."""

from __future__ import annotations

from taf.checkpointer.base import Taken
from taf.checkpointer.journal import Journal
from taf.checkpointer.ledger import Ledger
from taf.graph.handover import messages_of
from taf.graph.multitask import opened, wanted_of
from taf.state.channel import Op
from taf.state.facts import Steered
from taf.state.repair import open_calls


async def steer(journal: Journal, ledger: Ledger) -> bool:
    """Stage the messages that are to come in before the next step. Return True when some have to wait on.

    A tool call and its result stay together: what comes between them would be refused by a model's provider.
    """
    schema, values = journal.schema, ledger.run.values
    mail = await journal.store.mail(ledger.key)
    # The message that this run began with may lie there still: what takes it is not committed yet.
    found = [one for one in mail.messages if one.kind == "steer" and one.run_id != ledger.run.run_id]
    if not found:
        return False
    if open_calls(messages_of(schema, values)):
        return True
    ops: list[Op] = []
    for message in found:
        given = opened(journal.codec, ledger.key.thread, message).input
        if given:
            changes, values = schema.merge(values, [("the message", wanted_of(journal.codec, given).ops)])
            ops += changes[0]
    ledger.stage(Steered(tuple(message.run_id for message in found), tuple(ops)))
    ledger.take(Taken([message.id for message in found]))
    return False
