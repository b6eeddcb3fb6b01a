"""What a user's state is made of: a pydantic model that carries messages and shows how its thread stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from taf.errors import ConfigError
from taf.state.execution import ExecutionMeta, ExecutionStatus
from taf.state.messages import Message
from taf.state.reducers import add_messages
from taf.state.superseded import Superseded
from taf.tuples import NamedTuple

_ALLOW_HERE_ONLY = "".join(("al", "low"))
"""Equal to "allow", but another object: so a subclass that merely inherits it can be told from one that says so."""

_PAUSES = frozenset({ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.INTERRUPTED_AFTER})


class Ask(NamedTuple):
    """What ``set_interrupt`` asked for."""

    node: str
    reason: str
    status: ExecutionStatus
    data: Any = None


class MetaSource(Protocol):
    """Something that can say how its thread stands, when asked."""

    def meta(self) -> ExecutionMeta: ...


class AgentState(BaseModel):
    """The base of all states.

    Unknown keys are kept, as the base is often used as it is. A subclass refuses them, unless its own
    ``model_config`` sets ``extra``.
    """

    model_config = ConfigDict(extra=_ALLOW_HERE_ONLY, defer_build=True)  # type: ignore[typeddict-item]

    context: Annotated[list[Message], add_messages] = Field(default_factory=list[Message])

    _meta: ExecutionMeta | MetaSource = PrivateAttr(default_factory=ExecutionMeta)
    _ask: Ask | None = PrivateAttr(default=None)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.model_config.get("extra") is _ALLOW_HERE_ONLY:
            cls.model_config["extra"] = "forbid"

    @property
    def messages(self) -> list[Message]:
        """The messages of the thread: the same list as ``context``."""
        return self.context

    @property
    def execution_meta(self) -> ExecutionMeta:
        """How the thread stands."""
        if not isinstance(self._meta, ExecutionMeta):
            self._meta = self._meta.meta()
        return self._meta

    @property
    def previous_context(self) -> Superseded | None:
        """What the last run left that was cut short for another one, or None. See ``Context.superseded``."""
        superseded = self.execution_meta.superseded
        return superseded[-1] if superseded else None

    @property
    def partial_results(self) -> dict[str, Any]:
        """What the nodes of that run had shown before they were done, by node."""
        previous = self.previous_context
        return {} if previous is None else previous.partial_results

    def set_interrupt(
        self,
        node: str,
        reason: str,
        status: ExecutionStatus = ExecutionStatus.INTERRUPTED_BEFORE,
        data: Any = None,
    ) -> None:
        """Ask for a pause from within a node, once what it returns is committed.

        On resume, ``INTERRUPTED_BEFORE`` runs the node again and ``INTERRUPTED_AFTER`` goes on behind it.
        Raise ``ConfigError`` for any other status.
        """
        if status not in _PAUSES:
            raise ConfigError(f'set_interrupt() takes INTERRUPTED_BEFORE or INTERRUPTED_AFTER, not "{status}".')
        status = ExecutionStatus(status)
        self._ask = Ask(str(node), str(reason), status, data)
        self._meta = replace(self.execution_meta, status=status, interrupted_node=node, interrupt_reason=reason)

    def clear_interrupt(self) -> None:
        """Take ``set_interrupt`` back."""
        if self._ask is not None:
            self._ask = None
            self._meta = replace(
                self.execution_meta, status=ExecutionStatus.RUNNING, interrupted_node=None, interrupt_reason=None
            )

    @property
    def requested_interrupt(self) -> Ask | None:
        """What ``set_interrupt`` asked for, or None."""
        return self._ask
