"""Messages to somebody who is at work: tasks that replace each other, and conversations with agents."""

from taf.interruption.adapter import AgentAdapter, FunctionAdapter, Turn
from taf.interruption.agents import AgentManager
from taf.interruption.conversation import Conversation, Pending, Reply, Sent, combined_prompt
from taf.interruption.manager import InterruptionManager
from taf.interruption.store import StateStore
from taf.interruption.task import TaskContext, TaskStatus
from taf.interruption.watch import Update

__all__ = [
    "AgentAdapter",
    "AgentManager",
    "Conversation",
    "FunctionAdapter",
    "InterruptionManager",
    "Pending",
    "Reply",
    "Sent",
    "StateStore",
    "TaskContext",
    "TaskStatus",
    "Turn",
    "Update",
    "combined_prompt",
]
