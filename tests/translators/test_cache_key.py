"""The key for prompt caches of clients that cannot name one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from llm_mux import ir
from llm_mux.translators import cache_key

RULES = ir.Message("system", (ir.Text("Be brief."),))
USER = ir.Message("user", (ir.Text("Hi."),))
TOOL = ir.Tool("f")
MARK = ir.Cache("1h")


def request(*messages: ir.Message, **fields: Any) -> ir.Request:
    return ir.Request("m", messages or (RULES, USER), **{"protocol": "anthropic", **fields})


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        pytest.param(request(), False, id="nobody asked"),
        pytest.param(request(user="u"), True, id="user"),
        pytest.param(request(user="u", protocol="openai_chat"), False, id="user of a client that could name a key"),
        pytest.param(request(cache=MARK), True, id="mark on the request"),
        pytest.param(request(tools=(structs.replace(TOOL, cache=MARK),)), True, id="mark on a tool"),
        pytest.param(request(ir.Message("system", (ir.Text("r", cache=MARK),)), USER), True, id="mark on the system"),
        pytest.param(request(RULES, ir.Message("user", (ir.Text("u", cache=MARK),))), True, id="mark on a turn"),
    ],
)
def test_a_key_is_made_for_those_who_mean_to_cache(asked: ir.Request, named: bool) -> None:
    assert (cache_key.of(asked) is not None) is named


def test_the_clients_own_key_wins() -> None:
    assert cache_key.of(request(user="u", cache_key="mine")) == "mine"


def test_every_turn_of_a_conversation_has_one_key() -> None:
    said = (ir.Message("assistant", (ir.Text("Yes?"),)), USER)
    assert cache_key.of(request(user="u")) == cache_key.of(request(RULES, USER, *said, user="u"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(request(ir.Message("system", (ir.Text("Be long."),)), USER, user="u"), id="system"),
        pytest.param(request(user="u", tools=(TOOL,)), id="tools"),
        pytest.param(request(user="v"), id="user"),
    ],
)
def test_another_beginning_has_another_key(other: ir.Request) -> None:
    assert cache_key.of(other) != cache_key.of(request(user="u"))
