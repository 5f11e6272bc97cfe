"""The facts of a login as the configuration changes them, and secrets that do not show."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llm_mux.auth.base import Call, Credential, OAuth, Pasted, Reply, Returned, overridden


def test_every_fact_can_be_replaced_by_the_configuration() -> None:
    changed = overridden(
        OAuth(authorize_url="https://a.example", scopes=("one",)),
        {
            "token-url": "https://b.example/token",
            "scopes": "two three",
            "refresh-scopes": ["two"],
            "fixed-port": True,
            "redirect-port": 8085,
            "lead-s": 60,
            "authorize-extra": {"prompt": "consent", "number": 1},
            "body": "json",
            "final": ["gone"],
        },
    )
    assert changed == OAuth(
        authorize_url="https://a.example",
        token_url="https://b.example/token",
        scopes=("two", "three"),
        refresh_scopes=("two",),
        fixed_port=True,
        redirect_port=8085,
        lead_s=60.0,
        authorize_extra={"prompt": "consent", "number": "1"},
        body="json",
        final=frozenset({"gone"}),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token-ulr": "x"}, r"there is no `token-ulr`; did you mean `token-url`\?"),
        ({"token-url": 1}, "token-url must be text"),
        ({"scopes": 1}, "scopes must be a list of words"),
        ({"scopes": [1]}, "scopes must be a list of words"),
        ({"fixed-port": "yes"}, "fixed-port must be true or false"),
        ({"redirect-port": True}, "redirect-port must be a number"),
        ({"lead-s": -1}, "lead-s must be a number"),
        ({"authorize-extra": []}, "authorize-extra must be a mapping"),
        ({"body": "xml"}, "body must be form or json"),
    ],
)
def test_a_wrong_fact_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overridden(OAuth(), settings)


@pytest.mark.parametrize(
    "value",
    [
        Call("https://a.example", headers={"authorization": "PLANTED"}, body=b"PLANTED"),
        Reply(200, {"x": "PLANTED"}, b"PLANTED", 0.0),
        Returned({"code": "PLANTED"}),
        Pasted("PLANTED"),
        OAuth(client_secret="PLANTED"),
        Credential(access="PLANTED", refresh="PLANTED", client_secret="PLANTED", extra={"key": "PLANTED"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_secret_shows_in_a_repr(value: object) -> None:
    assert "PLANTED" not in repr(value)


def test_the_page_on_logins_names_every_fact_that_can_be_replaced() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logins.md").read_text(encoding="utf-8")
    facts = sorted(each.name.replace("_", "-") for each in fields(OAuth))
    assert [fact for fact in facts if f"`{fact}`" not in page] == []
