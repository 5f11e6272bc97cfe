"""`llm-mux doctor`: what is in place, and one line of advice for each fault."""

from __future__ import annotations

import asyncio
import json
import pathlib
import socket
import sys
import time
from email.utils import formatdate
from typing import Any

import pytest

from llm_mux import paths
from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, keep_login
from llm_mux.auth.store import SecretStore, open_store
from llm_mux.cli.diagnosis import Knock, clock
from llm_mux.cli.startup import unit_of
from llm_mux.cli.surroundings import configuration_in_effect
from llm_mux.ledger.account_table import AccountRow
from tests.cli.running import Run
from tests.cli.test_accounts import configure, note, token
from tests.fake_upstream import FakeUpstream, Reply

NOW = time.time()


@pytest.fixture
def store(home: pathlib.Path) -> SecretStore:
    return open_store(env={"LLM_MUX_KEYRING": "file"}, data_dir=paths.data_dir())


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def findings(out: str) -> dict[str, dict[str, Any]]:
    return {f"{each['what']} {each['verdict']}": each for each in json.loads(out)}


async def test_a_machine_that_is_well_gets_no_advice(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/", Reply(status=404))
        configure(home, upstream.url, port=free_port())
        keep_login(store, StoredLogin("corp", "me@x", token()))
        done = await asyncio.to_thread(run, "doctor")
        assert done.code == 0, done.out
        assert "->" not in done.out
        assert "books: the database answers" in done.out
        assert "disk: " in done.out
        assert "secrets: kept in the encrypted file" in done.out
        assert "tokens: corp/me@x is good for" in done.out
        assert "providers: 127.0.0.1:" in done.out
        assert "clock: right within" in done.out
        assert [request.method for request in upstream.requests] == ["HEAD"]
        assert "authorization" not in upstream.last.headers
        assert "PLANTED" not in done.out


def test_a_provider_that_does_not_answer_is_a_fault(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    keep_login(store, StoredLogin("corp", "me@x", token()))
    done = run("doctor", "--json")
    assert done.code == 1
    found = findings(done.out)["providers fault"]
    assert "is not reachable" in found["said"]
    assert found["advice"]
    assert run("doctor", "--offline").code == 0


def test_a_login_that_has_to_be_done_again_comes_with_the_command(
    run: Run, home: pathlib.Path, store: SecretStore
) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    keep_login(store, StoredLogin("corp", "me@x", token()))
    note(home, AccountRow(provider="corp", label="me@x", way="browser", state="login needed"))
    done = run("doctor", "--offline", "--json")
    assert done.code == 1
    assert findings(done.out)["tokens fault"]["advice"] == "llm-mux login corp --oauth --name me@x"


def test_a_token_from_the_future_is_doubtful(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    keep_login(store, StoredLogin("corp", "me@x", token(obtained=NOW + 9000, expires=NOW + 12000)))
    done = run("doctor", "--offline", "--json")
    assert done.code == 0
    assert "clock" in findings(done.out)["tokens doubtful"]["advice"]


def test_a_taken_port_is_a_fault_that_names_who_has_it(run: Run, home: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configure(home, "http://127.0.0.1:1", port=port)
        done = run("doctor", "--offline", "--json")
    assert done.code == 1
    found = findings(done.out)["ports fault"]
    assert f"{port} is taken by" in found["said"]
    assert "another port" in found["advice"]


def test_a_proxy_that_does_not_answer_is_a_fault(run: Run, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:PLANTED@127.0.0.1:1")
    configure(home, "http://127.0.0.1:1", port=free_port())
    done = run("doctor", "--offline", "--json")
    assert done.code == 1
    assert "127.0.0.1:1 ($HTTPS_PROXY) cannot be reached" in findings(done.out)["proxy fault"]["said"]
    assert "PLANTED" not in done.out


def test_a_broken_configuration_is_a_fault(run: Run, home: pathlib.Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("prot: 1\n", encoding="utf-8")
    done = run("doctor", "--json")
    assert done.code == 1
    assert findings(done.out)["configuration fault"]["advice"] == "llm-mux config edit"


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_secrets_that_others_can_read_are_a_fault(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    store.set("a", "b")
    secret = paths.data_dir() / "secrets.key"
    secret.chmod(0o644)
    done = run("doctor", "--offline", "--json")
    assert done.code == 1
    assert findings(done.out)["files fault"]["advice"] == f"chmod 600 {secret}"


def test_secrets_that_cannot_be_opened_are_a_fault(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    store.set("a", "b")
    (paths.data_dir() / "secrets.key").unlink()
    done = run("doctor", "--offline", "--json")
    assert done.code == 1
    assert "secrets.key is missing" in findings(done.out)["secrets fault"]["said"]


@pytest.mark.parametrize(
    ("skews", "verdict", "said"),
    [
        ((), "ok", "nobody to compare it with"),
        ((2.0, -1.0), "ok", "right within"),
        ((400.0, 401.0, 0.0), "fault", "400 s behind"),
        ((-86400.0,), "fault", "86400 s ahead of"),
    ],
)
def test_the_clock_is_compared_with_the_providers(skews: tuple[float, ...], verdict: str, said: str) -> None:
    found = clock([Knock("a"), *(Knock("b", skew) for skew in skews)])
    assert (found.verdict, said in found.said) == (verdict, True)


async def test_a_clock_that_is_wrong_is_a_fault(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/", Reply(status=200, headers={"Date": formatdate(time.time() + 7200, usegmt=True)}))
        configure(home, upstream.url, port=free_port())
        keep_login(store, StoredLogin("corp", "me@x", Credential(access="a", way="browser")))
        done = await asyncio.to_thread(run, "doctor", "--json")
        assert done.code == 1
        assert "s behind the providers'" in findings(done.out)["clock fault"]["said"]


def test_a_proxy_for_this_machine_a_missing_service_and_a_moved_tool_are_doubtful(
    run: Run, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    configure(home, "http://127.0.0.1:1", port=free_port())
    unit = unit_of(None)
    pathlib.Path(unit.file).parent.mkdir(parents=True)
    pathlib.Path(unit.file).write_bytes(unit.content)
    run("connect", "aider", "--yes", "--url", "http://127.0.0.1:9")
    done = run("doctor", "--offline", "--json")
    assert done.code == 0, done.out
    found = findings(done.out)
    assert found["proxy doubtful"]["advice"].startswith("export NO_PROXY=")
    assert found["service doubtful"]["advice"] == "llm-mux service start"
    assert found["tools doubtful"]["advice"] == "llm-mux connect aider"
    assert "doubtful." in run("doctor", "--offline").out


def test_books_that_cannot_be_opened_are_a_fault(run: Run, home: pathlib.Path) -> None:
    configure(home, "http://127.0.0.1:1", port=free_port())
    database = paths.data_dir() / "llm-mux.sqlite"
    database.parent.mkdir(parents=True, exist_ok=True)
    database.write_bytes(b"no database" * 100)
    done = run("doctor", "--offline", "--json")
    assert done.code == 1
    assert done.err == ""
    assert findings(done.out)["books fault"]["advice"]


def test_a_configuration_that_is_not_in_effect_is_a_fault() -> None:
    health = {"config": {"error": "line 1: unknown key", "needs_restart": ["host"]}}
    assert [each.verdict for each in configuration_in_effect(health)] == ["fault", "doubtful"]
