from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from llm_mux.auth.jwt import Rules, secret_key, verify
from llm_mux.config.schema import Jwt
from tests.cli.running import Run


def test_a_key_is_printed_once_and_alone(run: Run, home: Path) -> None:
    done = run("keys", "create", "laptop", "--user", "alice")
    assert done.code == 0
    secret = done.out.strip()
    assert secret.startswith("mux-")
    assert "cannot be shown again" in done.err
    assert "disable-auth" in done.err
    assert secret not in done.err
    listed = run("keys", "list").out + run("keys", "list", "--json").out
    assert secret not in listed
    assert secret[8:-4] not in listed
    with sqlite3.connect(home / "data" / "llm-mux.sqlite") as books:
        assert secret not in str(books.execute("SELECT * FROM client_keys").fetchall())


def test_scopes_and_limits_are_kept(run: Run) -> None:
    made = run(
        *("keys", "create", "ci", "--model", "gpt-*", "--model", "claude-*", "--provider", "work", "--account", "a"),
        *("--requests-per-minute", "5", "--tokens-per-minute", "9", "--concurrent", "2", "--requests-per-hour", "7"),
        *("--daily-budget", "0.10", "--monthly-budget", "2", "--expires", "2999-01-01", "--json"),
    )
    (listed,) = json.loads(run("keys", "list", "--json").out)
    assert listed["scopes"] == {
        "models": ["gpt-*", "claude-*"],
        "providers": ["work"],
        "accounts": ["a"],
        "limits": {"requests-per-minute": 5, "requests-per-hour": 7, "tokens-per-minute": 9, "concurrent": 2},
        "daily-budget": "0.10",
        "monthly-budget": "2",
    }
    assert listed["expires"] == "2999-01-01T00:00:00+00:00"
    assert listed.pop("spent") == {"day": "0.00", "month": "0.00"}
    assert json.loads(made.out).items() >= listed.items()
    shown = run("keys", "list").out
    assert "gpt-*" in shown.replace("\n", " ")
    assert "0.10 USD/day (0.00 spent)" in " ".join(cell for line in shown.splitlines() for cell in line.split()[-3:])


def test_what_a_key_may_do_is_changed_piece_by_piece(run: Run) -> None:
    run(
        "keys",
        "create",
        "ci",
        "--model",
        "gpt-*",
        "--concurrent",
        "2",
        "--daily-budget",
        "1",
        "--expires",
        "2999-01-01",
    )
    (made,) = json.loads(run("keys", "list", "--json").out)
    changed = json.loads(run("keys", "update", "ci", "--model", "claude-*", "--tokens-per-minute", "9", "--json").out)
    assert changed["scopes"] == {
        "models": ["claude-*"],
        "limits": {"tokens-per-minute": 9, "concurrent": 2},
        "daily-budget": "1",
    }
    assert [changed[name] == made[name] for name in ("id", "hint", "created", "expires")] == [True] * 4
    without = ("--without", "model", "--without", "concurrent", "--without", "daily-budget", "--without", "expires")
    done = run("keys", "update", made["id"], *without, "--monthly-budget", "5")
    assert (done.code, done.out) == (0, f"ci ({made['id']}) may use: 9 tokens/min, 5 USD/month.\n")
    (listed,) = json.loads(run("keys", "list", "--json").out)
    assert listed["expires"] is None
    assert (
        "claude" not in run("keys", "update", "ci", "--without", "tokens-per-minute", "--without", "monthly-budget").out
    )
    assert json.loads(run("keys", "list", "--json").out)[0]["scopes"] == {}


def test_keys_are_rotated_and_revoked_by_name_or_id(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json").out)
    rotated = json.loads(run("keys", "rotate", "a", "--grace", "1h", "--json").out)
    assert (rotated["id"], rotated["key"] != made["key"]) == (made["id"], True)
    assert rotated["former_until"] is not None
    assert run("keys", "revoke", made["id"]).code == 0
    assert run("keys", "list").out.startswith("no keys")
    assert json.loads(run("keys", "list", "--all", "--json").out)[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["keys", "revoke", "nobody"], 1, "no key nobody"),
        (["keys", "rotate", "nobody"], 1, "no key nobody"),
        (["keys", "create", ""], 1, "printable"),
        (["keys", "create", "a", "--user", "key:b"], 1, "key:b"),
        (["keys", "create", "a", "--expires", "soon"], 2, "neither a period"),
        (["keys", "create", "a", "--expires", "2020-01-01"], 2, "over already"),
        (["keys", "create", "a", "--daily-budget", "NaN"], 2, "US dollars"),
        (["keys", "create", "a", "--daily-budget", "1e-13"], 2, "12 decimals"),
        (["keys", "create", "a", "--daily-budget", "0"], 1, "above 0"),
        (["keys", "create", "a", "--requests-per-minute", "0"], 2, "--requests-per-minute"),
        (["keys", "rotate", "a", "--grace", "1"], 2, "no period"),
        (["keys", "update", "nobody", "--concurrent", "1"], 1, "no key nobody"),
        (["keys", "update", "a"], 2, "say what to change"),
        (["keys", "update", "a", "--model", "x", "--without", "model"], 2, "--model is given and taken away"),
        (["keys", "update", "a", "--without", "name"], 2, "--without"),
        (["keys", "update", "a", "--concurrent", "0"], 2, "--concurrent"),
        (["keys", "jwt", "--user", "a"], 1, "auth.jwt.secret"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_why(run: Run, arguments: list[str], code: int, words: str) -> None:
    done = run(*arguments)
    assert done.code == code
    assert words in done.err
    assert done.err.count("\n") == 1


def test_a_token_is_signed_with_the_secret_of_the_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MUX_AUTH_JWT_SECRET", "a-secret-of-thirty-two-characters")
    token = run("keys", "jwt", "--user", "bob", "--minutes", "5").out.strip()
    key = secret_key("a-secret-of-thirty-two-characters")
    assert verify(token, [key], Rules.of(Jwt(secret="x")), time.time()).user == "bob"


def test_a_database_that_cannot_be_used_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MUX_USAGE_DATABASE", "postgresql://someone:hidden-word@127.0.0.1:1/none")
    done = run("keys", "list")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "hidden-word" not in done.err
