from __future__ import annotations

import json

import pytest

from tests.cli.running import Run


def test_money_is_credited_taken_and_listed(run: Run) -> None:
    given = run("billing", "credit", "alice", "25.50", "--description", "invoice 7")
    assert (given.code, given.out) == (0, "alice: +25.50 USD, now 25.50 USD\n")
    assert "billing.enabled" in given.err
    taken = json.loads(run("billing", "credit", "alice", "-0.000001", "--json").out)
    assert (taken["amount"], taken["balance_after"]) == ("-0.000001", "25.499999")
    assert json.loads(run("billing", "balance", "--json").out) == [{"user_id": "alice", "balance": "25.499999"}]
    assert "25.499999" in run("billing", "balance", "alice").out
    found = json.loads(run("billing", "transactions", "alice", "--json").out)
    assert (found["total"], [each["description"] for each in found["transactions"]]) == (2, ["Credit", "invoice 7"])
    assert "invoice 7" in run("billing", "transactions", "alice", "--limit", "1", "--offset", "1").out


def test_a_new_user_has_the_initial_balance_of_the_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MUX_BILLING_ENABLED", "true")
    monkeypatch.setenv("LLM_MUX_BILLING_INITIAL_BALANCE", "10")
    done = run("billing", "credit", "bob", "1")
    assert (done.out, done.err) == ("bob: +1.00 USD, now 11.00 USD\n", "")


def test_an_empty_ledger_says_what_to_do(run: Run) -> None:
    assert "llm-mux billing credit" in run("billing", "balance").out
    assert "no transactions of nobody" in run("billing", "transactions", "nobody").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["credit", "alice", "0"], 1, "changes nothing"),
        (["credit", "alice", "NaN"], 2, "US dollars"),
        (["credit", "alice", "much"], 2, "US dollars"),
        (["credit", "", "1"], 1, "printable"),
        (["transactions", "alice", "--limit", "-1"], 2, "--limit"),
        (["transactions", "alice", "--offset", "99999999999999"], 2, "--offset"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, arguments: list[str], code: int, words: str) -> None:
    done = run("billing", *arguments)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert words in done.err
