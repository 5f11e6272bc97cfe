"""`llm-mux accounts`: the list, and what can be done with an account."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import yaml

from llm_mux import paths
from llm_mux.auth import keys
from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, find_login, keep_login, login_accounts
from llm_mux.auth.store import SecretStore, open_store
from llm_mux.ledger.account_table import AccountRow, Quota, forget, put, read, rename
from llm_mux.ledger.database import Database
from tests.cli.running import Run
from tests.fake_upstream import FakeUpstream, json_reply

NOW = time.time()


@pytest.fixture
def store(home: pathlib.Path) -> SecretStore:
    return open_store(env={"LLM_MUX_KEYRING": "file"}, data_dir=paths.data_dir())


def configure(home: pathlib.Path, url: str, **more: Any) -> None:
    """A server behind single sign-on and nothing from the environment."""
    oauth = {"token-url": f"{url}/token", "client-id": "c"}
    entry = {"type": "oauth", "id": "corp", "base-url": f"{url}/v1", "oauth": oauth}
    home.mkdir(exist_ok=True)
    config = {"discover": False, "providers": [entry], **more}
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def token(**more: Any) -> Credential:
    made = Credential(
        access="at-PLANTED", refresh="rt-PLANTED", expires=NOW + 3600, obtained=NOW, way="browser", id="u", email="me@x"
    )
    return msgspec.structs.replace(made, **more)


def note(home: pathlib.Path, *rows: AccountRow) -> None:
    async def write() -> None:
        database = Database(paths.data_dir() / "llm-mux.sqlite")
        await database.run(lambda books: put(books, rows))
        await database.close()

    asyncio.run(write())


def test_without_accounts_the_list_says_how_to_add_one(run: Run, home: pathlib.Path) -> None:
    configure(home, "http://127.0.0.1:1", providers=[])
    assert run("accounts").out == "no accounts; add one: llm-mux login PROVIDER\n"
    assert json.loads(run("accounts", "--json").out) == []


def test_the_list_says_what_is_known_of_each_account_and_no_secret(
    run: Run, home: pathlib.Path, store: SecretStore
) -> None:
    configure(home, "http://127.0.0.1:1")
    keep_login(store, StoredLogin("corp", "me@x", token(plan="team")))
    keys.add_key(store, "openai", "work", "sk-PLANTED")
    keys.disable(store, "openai/work")
    quota = Quota(name="5h", used=0.25, resets_at=NOW + 7200)
    over = Quota(name="7d", used=0.5, resets_at=NOW - 5)
    note(
        home,
        AccountRow(
            provider="corp",
            label="me@x",
            way="browser",
            state="resting",
            last_error="rate_limit: slow",
            quotas=(quota, over),
        ),
    )
    found = {each["name"]: each for each in json.loads(run("accounts", "--json").out)}
    assert set(found) == {"corp/me@x", "openai/work"}
    mine = found["corp/me@x"]
    assert (mine["way"], mine["state"], mine["identity"], mine["plan"]) == ("browser", "resting", "me@x", "team")
    assert mine["last_error"] == "rate_limit: slow"
    assert [each["name"] for each in mine["quotas"]] == ["5h"]
    assert mine["expires"].endswith("+00:00")
    assert found["openai/work"]["state"] == "disabled"
    said = run("accounts")
    assert "corp/me@x" in said.out and "all 5h: 25% used until" in said.out and "rate_limit: slow" in said.out
    assert "PLANTED" not in said.out + json.dumps(found)


def test_a_token_that_is_over_and_cannot_be_renewed_needs_a_login(
    run: Run, home: pathlib.Path, store: SecretStore
) -> None:
    configure(home, "http://127.0.0.1:1")
    keep_login(store, StoredLogin("corp", "old", token(expires=NOW - 5)))
    note(home, AccountRow(provider="corp", label="old", way="browser", state="login needed"))
    (found,) = json.loads(run("accounts", "--json").out)
    assert found["state"] == "login needed"


def test_disable_and_enable_are_for_every_account(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1")
    keys.add_key(store, "openai", "work", "sk-1")
    assert "back with: llm-mux accounts enable openai/work" in run("accounts", "disable", "openai/work").out
    assert keys.disabled(store) == {"openai/work"}
    assert run("accounts", "enable", "openai/work").code == 0
    assert keys.disabled(store) == frozenset()
    again = run("accounts", "enable", "openai/work")
    assert (again.code, "is not disabled" in again.err) == (1, True)
    near = run("accounts", "disable", "openai/wrok")
    assert (near.code, 'did you mean "openai/work"?' in near.err) == (1, True)


def test_a_renamed_account_keeps_everything(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    configure(home, "http://127.0.0.1:1")
    keep_login(store, StoredLogin("corp", "me@x", token()))
    keys.add_key(store, "openai", "work", "sk-1", base_url="https://eu.example/v1")
    keys.disable(store, "openai/work")
    note(home, AccountRow(provider="corp", label="me@x", way="browser", state="resting"))
    assert run("accounts", "rename", "corp/me@x", "boss").out == "corp/me@x is corp/boss now.\n"
    assert run("accounts", "rename", "openai/work", "home").code == 0
    found = find_login(store, "corp", "boss")
    assert found is not None and found.credential == token()
    moved = keys.find(store, "openai", "home")
    assert moved is not None and (moved.key, moved.base_url) == ("sk-1", "https://eu.example/v1")
    assert login_accounts(store) == [("corp", "boss")]
    assert keys.disabled(store) == {"openai/home"}
    (boss, _) = json.loads(run("accounts", "--json").out)
    assert (boss["name"], boss["state"]) == ("corp/boss", "resting")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("corp", "x"), 2, "PROVIDER/LABEL"),
        (("corp/me@x", "a/b"), 2, "without a slash"),
        (("corp/me@x", "taken"), 1, "there is an account corp/taken already"),
        (("corp/nobody", "x"), 1, "no account corp/nobody is stored"),
    ],
)
def test_a_rename_that_cannot_be_is_refused(
    run: Run, home: pathlib.Path, store: SecretStore, arguments: tuple[str, str], code: int, message: str
) -> None:
    configure(home, "http://127.0.0.1:1")
    keep_login(store, StoredLogin("corp", "me@x", token()))
    keep_login(store, StoredLogin("corp", "taken", token()))
    done = run("accounts", "rename", *arguments)
    assert (done.code, message in done.err) == (code, True)
    assert len(login_accounts(store)) == 2


def test_accounts_travel_in_a_file_that_only_the_passphrase_opens(
    run: Run, home: pathlib.Path, store: SecretStore, tmp_path: pathlib.Path
) -> None:
    configure(home, "http://127.0.0.1:1")
    keep_login(store, StoredLogin("corp", "me@x", token()))
    keys.add_key(store, "openai", "work", "sk-PLANTED")
    file = tmp_path / "accounts.enc"
    done = run("accounts", "export", str(file), stdin="correct horse\n")
    assert done.code == 0
    assert done.out == f"Wrote 2 accounts to {file}: corp/me@x, openai/work.\n"
    assert "goes on in one place only" in done.err
    assert b"PLANTED" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert run("accounts", "export", str(file), stdin="correct horse\n").code == 1
    store.delete("login/corp/me@x")
    keys.add_key(store, "openai", "work", "sk-newer")
    wrong = run("accounts", "import", str(file), stdin="wrong horse\n")
    assert (wrong.code, "the passphrase is wrong" in wrong.err) == (1, True)
    done = run("accounts", "import", str(file), stdin="correct horse\n")
    assert "Left out, because they are there already (--force replaces): openai/work." in done.out
    assert "Took over 1 accounts: corp/me@x." in done.out
    found = find_login(store, "corp", "me@x")
    assert found is not None and found.credential == token()
    run("accounts", "import", str(file), "--force", stdin="correct horse\n")
    moved = keys.find(store, "openai", "work")
    assert moved is not None and moved.key == "sk-PLANTED"


def test_an_export_that_cannot_be_is_refused(
    run: Run, home: pathlib.Path, store: SecretStore, tmp_path: pathlib.Path
) -> None:
    configure(home, "http://127.0.0.1:1")
    assert "no accounts are stored" in run("accounts", "export", str(tmp_path / "x"), stdin="correct horse\n").err
    keys.add_key(store, "openai", "work", "sk-1")
    assert "no account a/b is stored" in run("accounts", "export", str(tmp_path / "x"), "a/b", stdin="p\n").err
    assert "8 characters" in run("accounts", "export", str(tmp_path / "x"), stdin="short\n").err
    assert not (tmp_path / "x").exists()


@contextlib.asynccontextmanager
async def corp(home: pathlib.Path) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        configure(home, upstream.url)
        upstream.on("/v1/models", json_reply({"data": [{"id": "m"}, {"id": "n"}]}))
        upstream.on("/token", json_reply({"access_token": "at-new", "refresh_token": "rt-new", "expires_in": 3600}))
        yield upstream


async def test_a_test_asks_the_provider_and_renews_what_is_due(
    run: Run, home: pathlib.Path, store: SecretStore
) -> None:
    async with corp(home) as upstream:
        keep_login(store, StoredLogin("corp", "me@x", token(expires=NOW - 5)))
        done = await asyncio.to_thread(run, "accounts", "test")
        assert (done.code, done.out) == (0, "ok    corp/me@x: 2 models\n")
        assert upstream.last.headers["authorization"] == "Bearer at-new"
        found = find_login(store, "corp", "me@x")
        assert found is not None and found.credential.refresh == "rt-new"


async def test_a_test_renews_a_refused_token_once(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    async with corp(home) as upstream:
        upstream.on("/v1/models", json_reply({"error": {"message": "no"}}, 401), json_reply({"data": [{"id": "m"}]}))
        keep_login(store, StoredLogin("corp", "me@x", token()))
        done = await asyncio.to_thread(run, "accounts", "test", "corp/me@x", "--json")
        assert done.code == 0
        assert json.loads(done.out) == [{"name": "corp/me@x", "ok": True, "message": "1 models"}]


async def test_a_test_that_fails_says_why_without_the_secret(run: Run, home: pathlib.Path, store: SecretStore) -> None:
    async with corp(home) as upstream:
        upstream.on("/v1/models", json_reply({"error": {"message": "bad token at-PLANTED"}}, 401))
        upstream.on("/token", json_reply({"error": "invalid_grant", "error_description": "rt-PLANTED is gone"}, 400))
        keep_login(store, StoredLogin("corp", "me@x", token()))
        done = await asyncio.to_thread(run, "accounts", "test")
        assert done.code == 1
        assert "FAIL  corp/me@x: The login of corp/me@x has to be done again" in done.out
        assert "PLANTED" not in done.out + done.err


async def test_the_table_keeps_what_the_daemon_saw(tmp_path: pathlib.Path) -> None:
    database = Database(tmp_path / "books.sqlite")
    one = AccountRow(provider="p", label="a", way="key", quotas=(Quota(name="5h", used=0.5),), updated=1.0)
    two = AccountRow(
        provider="p", label="b", way="browser", identity="me@x", plan="pro", expires=5.5, last_error="x\x00y"
    )
    await database.run(lambda books: put(books, [one, two]))
    found = await database.look(read)
    assert found["p", "a"] == one
    assert found["p", "b"].last_error is not None and "\x00" not in found["p", "b"].last_error
    await database.run(lambda books: rename(books, ("p", "a"), "b"))
    assert list(await database.look(read)) == [("p", "b")]
    await database.run(lambda books: put(books, [], [("p", "b")]))
    assert await database.look(read) == {}
    await database.run(lambda books: forget(books, ("p", "b")))
    await database.close()
