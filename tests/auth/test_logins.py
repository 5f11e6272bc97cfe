"""Stored logins, the labels of new ones, and their locks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from llm_mux.auth.base import Credential
from llm_mux.auth.logins import (
    StoredLogin,
    find_login,
    holding,
    keep_login,
    label_for,
    login_accounts,
    logins,
    remove_login,
)
from llm_mux.auth.sealed import SealedFile, StoreError

ADA = Credential(access="at", refresh="rt", id="u-1", email="ada@x.example", way="browser")


@pytest.fixture
def store(tmp_path: Path) -> SealedFile:
    return SealedFile(tmp_path)


def test_logins_are_kept_by_provider_and_label(store: SealedFile) -> None:
    for provider, label in (("codex", "ada"), ("codex", "bob"), ("corp", "ada")):
        keep_login(store, StoredLogin(provider, label, ADA, base_url=f"https://{label}.example"))
    assert login_accounts(store, "codex") == [("codex", "ada"), ("codex", "bob")]
    assert [(each.account, each.base_url) for each in logins(store)] == [
        ("codex/ada", "https://ada.example"), ("codex/bob", "https://bob.example"), ("corp/ada", "https://ada.example"),
    ]  # fmt: skip
    assert remove_login(store, "codex", "ada")
    assert not remove_login(store, "codex", "ada")
    assert find_login(store, "codex", "ada") is None


def test_a_damaged_login_says_how_to_mend_it(store: SealedFile) -> None:
    store.set("login/codex/ada", '{"credential": 7}')
    with pytest.raises(StoreError, match="run llm-mux login codex"):
        logins(store)


def label(store: SealedFile, **more: str) -> str:
    """The label of a new login, which is stored under it."""
    credential = msgspec.structs.replace(ADA, **more)
    made = label_for(store, "codex", credential)
    keep_login(store, StoredLogin("codex", made, credential))
    return made


def test_the_same_account_keeps_its_label_and_another_of_the_same_name_gets_its_own(store: SealedFile) -> None:
    assert label(store) == "ada@x.example"
    assert label(store, access="at-2", refresh="rt-2") == "ada@x.example"
    assert label(store, id="u-2", plan="team") == "ada@x.example-team"
    assert label(store, id="u-3", plan="team").startswith("ada@x.example-")
    assert label(store, id="u-2", plan="team", access="at-9") == "ada@x.example-team"
    assert len(login_accounts(store)) == 3


def test_names_that_no_label_can_hold_are_made_plain(store: SealedFile) -> None:
    assert label(store, email="a/b\nc") == "a-b-c"
    assert label(store, email="", id="u/9") == "u-9"
    assert label(store, email="", id="") == "default"
    assert label(store, email="", id="", refresh="rt-2").startswith("default-")
    assert len(label(store, email="x" * 500, id="u-5")) <= 110


def test_a_lock_that_is_taken_is_said_to_whoever_does_not_wait(tmp_path: Path) -> None:
    with holding(tmp_path, "codex/ada"):
        with holding(tmp_path, "codex/bob", wait=False):
            pass
        with pytest.raises(BlockingIOError), holding(tmp_path, "codex/ada", wait=False):
            pass
    with holding(tmp_path, "codex/ada", wait=False):
        pass
