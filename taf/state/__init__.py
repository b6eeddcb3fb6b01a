"""What a user's state is made of."""

from taf.state.agent_state import AgentState
from taf.state.execution import ExecutionMeta, ExecutionStatus
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.messages import MediaBlock, Message, TextBlock, ToolCallBlock, ToolResultBlock
from taf.state.reducers import add_messages, append, merge, replace

__all__ = [
    "AgentState",
    "ExecutionMeta",
    "ExecutionStatus",
    "InterruptKind",
    "InterruptRecord",
    "InterruptStatus",
    "MediaBlock",
    "Message",
    "TextBlock",
    "ToolCallBlock",
    "ToolResultBlock",
    "add_messages",
    "append",
    "merge",
    "replace",
]
