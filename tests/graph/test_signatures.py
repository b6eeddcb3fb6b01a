"""What a node's callable may look like."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

from taf.errors import GraphError
from taf.graph import Context, StateGraph
from taf.state import AgentState


class Seen(AgentState):
    seen: str = ""


def told(config: Any = None, ctx: Any = None) -> dict[str, str]:
    words = ["state"]
    if config is not None:
        words.append(f"config:{config['flavour']}")
    if ctx is not None:
        words.append(f"ctx:{ctx.node}")
    return {"seen": " ".join(words)}


def only_state(state: Seen) -> Any:
    return told()


def state_config(state: Seen, config: dict[str, Any]) -> Any:
    return told(config)


def state_underscore(state: Seen, _: Any) -> Any:
    return told(_)


def state_ctx(state: Seen, ctx: Context) -> Any:
    return told(ctx=ctx)


def state_named_by_type(state: Seen, anything: Context) -> Any:
    return told(ctx=anything)


def state_config_ctx(state: Seen, config: dict[str, Any], ctx: Context) -> Any:
    return told(config, ctx)


def state_ctx_config(state: Seen, ctx: Context, config: dict[str, Any]) -> Any:
    return told(config, ctx)


def keyword_only(state: Seen, *, config: dict[str, Any], ctx: Context) -> Any:
    return told(config, ctx)


def keyword_named_by_type(state: Seen, *, here: Context) -> Any:
    return told(ctx=here)


def with_defaults(state: Seen, retries: int = 3, *, loud: bool = False) -> Any:
    assert (retries, loud) == (3, False)
    return told()


def state_optional_ctx(state: Seen, here: Context | None = None) -> Any:
    return told(ctx=here)


def ctx_behind_a_default(state: Seen, retries: int = 3, ctx: Context | None = None) -> Any:
    assert retries == 3
    return told(ctx=ctx)


def config_with_default(state: Seen, config: dict[str, Any] | None = None) -> Any:
    return told(config)


def any_arguments(*args: Any, **kwargs: Any) -> Any:
    assert len(args) == 1
    assert not kwargs
    return told()


def state_and_more(state: Seen, *args: Any, **kwargs: Any) -> Any:
    assert not args
    assert not kwargs
    return told()


def positional_only(state: Seen, config: dict[str, Any], /) -> Any:
    return told(config)


def bound_beforehand(greeting: str, state: Seen, config: dict[str, Any], *, loud: bool) -> Any:
    assert (greeting, loud) == ("hi", True)
    return told(config)


class Methods:
    def method(self, state: Seen, ctx: Context) -> Any:
        return told(ctx=ctx)

    @classmethod
    def of_class(cls, state: Seen, config: dict[str, Any]) -> Any:
        return told(config)

    @staticmethod
    def static(state: Seen) -> Any:
        return told()

    async def later(self, state: Seen, config: dict[str, Any]) -> Any:
        return told(config)


class Callable:
    def __call__(self, state: Seen, config: dict[str, Any]) -> Any:
        return told(config)


class AsyncCallable:
    async def __call__(self, state: Seen, *, ctx: Context) -> Any:
        return told(ctx=ctx)


async def later(state: Seen, config: dict[str, Any], ctx: Context) -> Any:
    return told(config, ctx)


@functools.wraps(later)
def wrapped(*given: Any) -> Any:
    return later(*given)


BOTH = "state config:mint ctx:node"
FORMS = [
    (only_state, "state"),
    (state_config, "state config:mint"),
    (state_underscore, "state config:mint"),
    (state_ctx, "state ctx:node"),
    (state_named_by_type, "state ctx:node"),
    (state_config_ctx, BOTH),
    (state_ctx_config, BOTH),
    (keyword_only, BOTH),
    (keyword_named_by_type, "state ctx:node"),
    (with_defaults, "state"),
    (state_optional_ctx, "state ctx:node"),
    (ctx_behind_a_default, "state ctx:node"),
    (config_with_default, "state config:mint"),
    (any_arguments, "state"),
    (state_and_more, "state"),
    (positional_only, "state config:mint"),
    (functools.partial(bound_beforehand, "hi", loud=True), "state config:mint"),
    (Methods().method, "state ctx:node"),
    (Methods.of_class, "state config:mint"),
    (Methods.static, "state"),
    (Methods().later, "state config:mint"),
    (Callable(), "state config:mint"),
    (AsyncCallable(), "state ctx:node"),
    (later, BOTH),
    (functools.partial(later), BOTH),
    (functools.partial(Methods().later), "state config:mint"),
    (functools.partial(AsyncCallable()), "state ctx:node"),
    (wrapped, BOTH),
    (lambda state: told(), "state"),
    (lambda state, config: told(config), "state config:mint"),
    (lambda state: later(state, {"flavour": "own"}, None), "state config:own"),
]


@pytest.mark.parametrize(
    ("form", "expected"), FORMS, ids=[getattr(form, "__name__", repr(form)[:40]) for form, _ in FORMS]
)
async def test_a_node_gets_what_its_signature_asks_for(form: Any, expected: str) -> None:
    app = StateGraph(Seen).add_node("node", form).compile()

    assert (await app.ainvoke({}, {"flavour": "mint"})).state.seen == expected


def no_parameter() -> None: ...
def one_too_many(state: Seen, database: Any) -> None: ...
def one_too_many_by_name(state: Seen, *, database: Any) -> None: ...
def no_state(*, config: Any) -> None: ...


@pytest.mark.parametrize("form", [no_parameter, no_state])
def test_a_node_that_takes_no_state_is_refused_when_it_is_added(form: Any) -> None:
    with pytest.raises(GraphError, match='Node "node" has to take the state'):
        StateGraph(Seen).add_node("node", form)


@pytest.mark.parametrize("form", [one_too_many, one_too_many_by_name])
def test_a_parameter_that_nobody_fills_is_refused_by_name(form: Any) -> None:
    with pytest.raises(GraphError, match='Node "node" has the parameter "database"'):
        StateGraph(Seen).add_node("node", form)


def test_a_router_is_held_to_the_same_rules() -> None:
    with pytest.raises(GraphError, match='The router behind "node" has the parameter "database"'):
        StateGraph(Seen).add_node("node", only_state).add_conditional_edges("node", one_too_many)


@pytest.mark.parametrize("form", [later, AsyncCallable(), functools.partial(later), Methods().later])
def test_async_callables_of_every_kind_are_known_as_async(form: Any) -> None:
    assert StateGraph(Seen).add_node("node", form).compile().runtime.spec.nodes["node"].is_async


async def test_async_nodes_run_on_the_loop_and_sync_nodes_in_a_thread() -> None:
    threads: dict[str, threading.Thread] = {}

    async def on_loop(state: Seen) -> None:
        threads["async"] = threading.current_thread()

    def in_thread(state: Seen) -> None:
        threads["sync"] = threading.current_thread()

    await StateGraph(Seen).add_sequence([on_loop, in_thread]).set_entry_point("on_loop").compile().ainvoke({})

    assert threads["async"] is threading.current_thread()
    assert threads["sync"] is not threading.current_thread()


async def test_the_config_of_a_node_is_its_own_copy() -> None:
    async def spoil(state: Seen, config: dict[str, Any]) -> None:
        config.clear()

    config = {"thread_id": "t", "flavour": "mint", "recursion_limit": 7}
    app = StateGraph(Seen).add_sequence([spoil, state_config]).set_entry_point("spoil").compile()
    result = await app.ainvoke({}, config)

    assert result.state.seen == "state config:mint"
    assert config == {"thread_id": "t", "flavour": "mint", "recursion_limit": 7}


async def test_a_node_sees_the_ids_of_its_run_and_the_limit() -> None:
    found: dict[str, Any] = {}

    async def look(state: Seen, config: dict[str, Any], ctx: Context) -> None:
        found.update(config, ctx=(ctx.thread_id, ctx.run_id, ctx.node, ctx.step, ctx.attempt))

    config = {"thread_id": 7, "run_id": "r", "recursion_limit": 5, "user_id": "u", "extra": 1}
    await StateGraph(Seen).add_node(look).compile().ainvoke({}, config)

    assert found == {
        "thread_id": "7",
        "run_id": "r",
        "recursion_limit": 5,
        "user_id": "u",
        "extra": 1,
        "ctx": ("7", "r", "look", 0, 1),
    }
