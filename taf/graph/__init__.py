"""Graphs of functions: build them, run them, pause them, stop them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taf.graph.blocking import CompiledGraph, recover
from taf.graph.command import END, START, Command, Send
from taf.graph.context import Context
from taf.graph.deciding import approve_breakpoints, approve_if
from taf.graph.interrupt import emit, interrupt, interrupt_sync, task, task_sync
from taf.graph.multitask import MultitaskStrategy, Queued
from taf.graph.node import RetryPolicy
from taf.graph.result import Receipt, RunResult, StateSnapshot
from taf.graph.state_graph import StateGraph
from taf.graph.stop import StopStatus
from taf.lazily import loads_lazily
from taf.state.interrupts import Approve, Edit, InterruptRecord, Reject, Respond
from taf.state.superseded import Partial, Superseded

if TYPE_CHECKING:
    from taf.graph.recovery import Recovered, Supervisor
    from taf.graph.retention import Pruned

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

__getattr__ = loads_lazily(
    __name__,
    {
        "Pruned": "retention",
        "Recovered": "recovery",
        "Supervisor": "recovery",
    },
)
