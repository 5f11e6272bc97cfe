"""Plays a flow against a script: each line is the step that is expected and what it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from llm_mux.auth.base import Call, LoginError, Reply, Step, Wish

NOW = 1_800_000_000.0
Line = tuple[type, Any]


def wish(**more: Any) -> Wish:
    """What a test wants: the tokens are their own length."""
    return Wish(now=NOW, token=lambda size: f"random{size}" + "x" * 40, **more)


STATE = wish().token(32)


def reply(value: object, status: int = 200, at: float = NOW, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body, at)


TOKEN = {"access_token": "at-1", "refresh_token": "rt-1", "expires_in": 3600, "token_type": "Bearer"}


def play(flow: Any, *script: Line) -> tuple[Any, list[Step]]:
    """The flow's result and the steps that it took. An answer that is an exception is thrown into the flow; one that
    is a function gets the step."""
    taken: list[Step] = []
    answer: Any = None
    for expected, following in script:
        step = _next(flow, answer)
        assert isinstance(step, expected), f"{step} instead of {expected.__name__}"
        taken.append(step)
        answer = following(step) if isinstance(following, Callable) else following  # type: ignore[arg-type]
    try:
        extra = _next(flow, answer)
    except StopIteration as end:
        return end.value, taken
    raise AssertionError(f"the flow goes on with {extra}")


def refused(flow: Any, *script: Line) -> LoginError:
    """The error that the script ends in."""
    try:
        result, _ = play(flow, *script)
    except LoginError as error:
        return error
    raise AssertionError(f"no error but {result}")


def _next(flow: Any, answer: Any) -> Step:
    return flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)


def sent(step: Step) -> dict[str, str]:
    """The form or JSON of a call."""
    assert isinstance(step, Call) and step.body is not None
    if step.headers["content-type"] == "application/json":
        return json.loads(step.body)
    return dict(parse_qsl(step.body.decode(), keep_blank_values=True))


def calls(steps: Sequence[Step]) -> list[Call]:
    return [step for step in steps if isinstance(step, Call)]
