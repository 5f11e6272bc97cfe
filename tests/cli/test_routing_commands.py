"""`route explain` and `cooldown` against a real daemon process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.daemon import process_daemon

PROVIDER = {
    "id": "lab",
    "type": "openai-compatible",
    "base-url": "http://127.0.0.1:9/v1",
    "models": ["m"],
    "api-keys": [{"key": "k1", "label": "one"}, {"key": "k2", "label": "two"}],
}
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def url(home: Path, run: Run) -> Iterator[str]:
    """A running daemon that knows the management key."""
    assert run("init").code == 0
    config = {"providers": [PROVIDER], "max-retry-interval": 0.01, "request-retry": 0}
    with process_daemon(home, config) as running:
        yield running.url


@pytest.mark.covers("OP-11")
def test_a_route_is_explained_in_a_table_and_as_json(run: Run, url: str) -> None:
    shown = run("route", "explain", "m")
    assert shown.code == 0
    assert "lab/one" in shown.out
    assert "sticky, priority 0" in shown.out
    found = json.loads(run("route", "explain", "m", "--json").out)
    assert {target["account"] for target in found["targets"]} == {"one", "two"}
    firsts = {
        json.loads(run("route", "explain", "m", "--json", "--conversation", str(n)).out)["targets"][0]["account"]
        for n in range(8)
    }
    assert firsts == {"one", "two"}, "a conversation has its own account"
    assert run("keys", "create", "laptop", "--account", "two").code == 0
    mine = json.loads(run("route", "explain", "m", "--json", "--key", "laptop").out)
    assert [target["account"] for target in mine["targets"]] == ["two"]
    missing = run("route", "explain", "nothing")
    assert (missing.code, "does not exist" in missing.err) == (1, True)


@pytest.mark.covers("OP-1")
def test_rests_are_listed_and_cleared(run: Run, url: str) -> None:
    import http.client

    assert run("cooldown", "list").out == "no account rests\n"
    for _ in range(5):
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request("POST", "/v1/chat/completions", json.dumps(BODY), {"content-type": "application/json"})
        connection.getresponse().read()
        connection.close()
    shown = run("cooldown", "list")
    assert "lab: open for" in shown.out
    assert "(unreachable)" in shown.out
    assert json.loads(run("cooldown", "list", "--json").out)
    assert "cleared: lab" in run("cooldown", "clear", "lab").out
    assert run("cooldown", "clear").out == "nothing to clear\n"
    wrong = run("cooldown", "clear", "nobody/none")
    assert (wrong.code, "There is no account" in wrong.err) == (1, True)


def test_without_a_daemon_or_a_key_the_command_says_what_to_do(run: Run, home: Path) -> None:
    assert "start one with: llm-mux serve" in run("cooldown", "list").err
    with process_daemon(home, {"providers": [PROVIDER]}):
        said = run("route", "explain", "m")
        assert (said.code, "llm-mux init" in said.err) == (1, True)
