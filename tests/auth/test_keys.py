"""API keys by account, what a key setting stands for, and the management key."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_mux.auth import keys
from llm_mux.auth.sealed import SealedFile, StoreError


@pytest.fixture
def store(tmp_path: Path) -> SealedFile:
    return SealedFile(tmp_path)


def test_keys_are_kept_by_provider_and_label(store: SealedFile) -> None:
    keys.add_key(store, "openai", "work", "sk-1")
    keys.add_key(store, "openai", "home", "sk-2", base_url="https://eu.api.example/v1")
    keys.add_key(store, "gemini", "default", "AIza")
    assert keys.accounts(store) == [("gemini", "default"), ("openai", "home"), ("openai", "work")]
    assert [(each.account, each.key, each.base_url) for each in keys.keys(store, "openai")] == [
        ("openai/home", "sk-2", "https://eu.api.example/v1"),
        ("openai/work", "sk-1", None),
    ]


def test_a_key_is_removed_once(store: SealedFile) -> None:
    keys.add_key(store, "openai", "work", "sk-1")
    assert keys.remove(store, "openai", "work")
    assert not keys.remove(store, "openai", "work")
    assert keys.keys(store) == []


def test_a_stored_key_does_not_show_itself(store: SealedFile) -> None:
    assert "sk-1" not in repr(keys.add_key(store, "openai", "work", "sk-1"))


def test_a_free_label_is_found_and_the_same_key_keeps_its_label(store: SealedFile) -> None:
    labels = []
    for key in ("sk-1", "sk-2", "sk-3", "sk-2"):
        labels.append(keys.free_label(store, "openai", key))
        keys.add_key(store, "openai", labels[-1], key)
    assert labels == ["default", "key-2", "key-3", "key-2"]
    keys.remove(store, "openai", "key-2")
    assert keys.free_label(store, "openai", "sk-4") == "key-2"


def test_a_damaged_entry_says_how_to_mend_it(store: SealedFile) -> None:
    store.set("api-key/openai/work", "not json")
    with pytest.raises(StoreError, match="run llm-mux login openai"):
        keys.keys(store)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sk-1", ["sk-1"]),
        ("sk-1 sk-2", ["sk-1", "sk-2"]),
        ("env:KEYS", ["a", "b"]),
        ("env:NONE", []),
        ("keyring:openai/work", ["stored"]),
        ("keyring:free-name", ["loose"]),
        ("keyring:none", []),
        ("!PASSTHRU", []),
    ],
)
def test_a_setting_stands_for_its_keys(store: SealedFile, value: str, expected: list[str]) -> None:
    keys.add_key(store, "openai", "work", "stored")
    store.set("free-name", "loose")
    assert keys.resolve(value, {"KEYS": " a\tb \n"}, store) == expected


def test_the_management_key_is_long_random_and_replaced_on_demand(store: SealedFile) -> None:
    assert keys.management_key(store) is None
    first = keys.create_management_key(store)
    assert len(first) >= 40
    assert keys.management_key(store) == first
    assert keys.create_management_key(store) != first
