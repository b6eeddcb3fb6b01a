"""Graphs of functions: build them, run them, pause them, stop them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taf.lazily import loads_lazily

if TYPE_CHECKING:
    from taf.graph.asking import emit, interrupt, interrupt_sync, task, task_sync
    from taf.graph.blocking import CompiledGraph, recover
    from taf.graph.command import END, START, Command, Send
    from taf.graph.context import Context
    from taf.graph.deciding import approve_breakpoints, approve_if
    from taf.graph.multitask import MultitaskStrategy, Queued
    from taf.graph.node import RetryPolicy
    from taf.graph.recovery import Recovered, Supervisor
    from taf.graph.result import Receipt, RunResult, StateSnapshot
    from taf.graph.retention import Pruned
    from taf.graph.state_graph import StateGraph
    from taf.graph.stop import StopStatus
    from taf.state.interrupts import Approve, Edit, InterruptRecord, Reject, Respond
    from taf.state.superseded import Partial, Superseded

__all__ = [
    "END",
    "START",
    "Approve",
    "Command",
    "CompiledGraph",
    "Context",
    "Edit",
    "InterruptRecord",
    "MultitaskStrategy",
    "Partial",
    "Pruned",
    "Queued",
    "Receipt",
    "Recovered",
    "Reject",
    "Respond",
    "RetryPolicy",
    "RunResult",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StopStatus",
    "Superseded",
    "Supervisor",
    "approve_breakpoints",
    "approve_if",
    "emit",
    "interrupt",
    "interrupt_sync",
    "recover",
    "task",
    "task_sync",
]

__getattr__, __dir__ = loads_lazily(
    __name__,
    {
        "END": "command",
        "START": "command",
        "Approve": "taf.state.interrupts",
        "Command": "command",
        "CompiledGraph": "blocking",
        "Context": "context",
        "Edit": "taf.state.interrupts",
        "InterruptRecord": "taf.state.interrupts",
        "MultitaskStrategy": "multitask",
        "Partial": "taf.state.superseded",
        "Pruned": "retention",
        "Queued": "multitask",
        "Receipt": "result",
        "Recovered": "recovery",
        "Reject": "taf.state.interrupts",
        "Respond": "taf.state.interrupts",
        "RetryPolicy": "node",
        "RunResult": "result",
        "Send": "command",
        "StateGraph": "state_graph",
        "StateSnapshot": "result",
        "StopStatus": "stop",
        "Superseded": "taf.state.superseded",
        "Supervisor": "recovery",
        "approve_breakpoints": "deciding",
        "approve_if": "deciding",
        "emit": "asking",
        "interrupt": "asking",
        "interrupt_sync": "asking",
        "recover": "blocking",
        "task": "asking",
        "task_sync": "asking",
    },
)
