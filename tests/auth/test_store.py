"""One contract for every secret store, and what each must withstand."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from llm_mux.auth import store as stores
from llm_mux.auth.sealed import SealedFile, StoreError, locked
from llm_mux.auth.store import KeyringStore, SecretStore, open_store
from tests.services import missing

LIMIT = 1280


class Vault(KeyringBackend):
    """A keyring in memory with the limit that Windows has."""

    priority = 9
    name = "vault"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring has no types here
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password.encode("utf-16-le")) > 2 * LIMIT:
            raise OSError("too long")
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("not found")


class Nothing(Vault):
    """What keyring offers where there is no keyring."""


Nothing.__module__ = "keyring.backends.fail"


class Locked(Vault):
    """A keyring that waits for somebody to unlock it."""

    def __init__(self) -> None:
        super().__init__()
        self.unlocked = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.unlocked.wait(30)
        return super().get_password(service, username)

    set_password = get_password  # type: ignore[assignment]  # waits in the same way


@pytest.fixture
def restored_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


@dataclass(frozen=True)
class Case:
    id: str
    make: Callable[[Path], SecretStore]


CASES = [
    Case("file with key file", SealedFile),
    Case("file with passphrase", lambda folder: SealedFile(folder, passphrase="correct horse")),
    Case("keyring", lambda folder: KeyringStore(Vault(), folder / "lock")),
    Case("opened", lambda folder: open_store(env={"LLM_MUX_KEYRING": "file"}, data_dir=folder)),
]


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStore:
    case: Case = request.param
    return case.make(tmp_path)


VALUES = ["x", "", "a\nb\x00c", "ä" * 700, "\U0001f511" * 700, "k" * 1200, "k" * 1201, "j" * 9000, "llm-mux-parts:0:3"]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)} chars")
def test_what_was_stored_comes_back(store: SecretStore, value: str) -> None:
    store.set("api-key/claude/me@example.com", value)
    assert store.get("api-key/claude/me@example.com") == value
    assert store.names() == ["api-key/claude/me@example.com"]


def test_a_missing_secret_is_none_and_deleting_it_is_fine(store: SecretStore) -> None:
    assert store.get("nothing") is None
    store.delete("nothing")
    assert store.names() == []


def test_a_secret_can_be_replaced_and_forgotten(store: SecretStore) -> None:
    for value in ("one", "2" * 5000, "3" * 3000, "four"):
        store.set("b", value)
        store.set("a", value)
        assert (store.get("a"), store.get("b")) == (value, value)
    assert store.names() == ["a", "b"]
    store.delete("a")
    assert store.get("a") is None
    assert store.names() == ["b"]


def test_many_names_are_kept(store: SecretStore) -> None:
    names = [f"api-key/provider-{number}/someone@example.com" for number in range(60)]
    for name in names:
        store.set(name, name)
    assert store.names() == sorted(names)
    assert store.get(names[41]) == names[41]


@pytest.mark.parametrize("name", ["", ".index", "a\nb"])
def test_impossible_names_are_refused(store: SecretStore, name: str) -> None:
    with pytest.raises(StoreError):
        store.set(name, "x")


def test_threads_do_not_lose_each_others_secrets(store: SecretStore) -> None:
    threads = [threading.Thread(target=store.set, args=(f"n{number}", "v")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.names() == sorted(f"n{number}" for number in range(8))


def test_a_replaced_long_secret_leaves_no_parts_behind(tmp_path: Path) -> None:
    vault = Vault()
    store = KeyringStore(vault, tmp_path / "lock")
    store.set("a", "1" * 5000)
    store.set("a", "2" * 2000)
    assert len([name for _, name in vault.entries if name.startswith("a#")]) == 2
    store.delete("a")
    assert [name for _, name in vault.entries] == [stores.INDEX]


def test_missing_parts_are_reported(tmp_path: Path) -> None:
    vault = Vault()
    store = KeyringStore(vault, tmp_path / "lock")
    store.set("a", "1" * 5000)
    part = next(key for key in vault.entries if key[1].startswith("a#"))
    del vault.entries[part]
    with pytest.raises(StoreError, match="parts of"):
        store.get("a")


def test_the_file_holds_no_plaintext_and_belongs_to_its_owner(tmp_path: Path) -> None:
    SealedFile(tmp_path).set("api-key/claude/me", "sk-PLANTED")
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"PLANTED" not in content
    assert base64.b64encode(b"sk-PLANTED")[:8] not in content
    assert b"claude" not in content
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_another_process_reads_what_this_one_wrote(tmp_path: Path) -> None:
    SealedFile(tmp_path, passphrase="p").set("a", "1")
    assert SealedFile(tmp_path, passphrase="p").get("a") == "1"


def test_a_passphrase_given_later_takes_over_at_the_next_write(tmp_path: Path) -> None:
    SealedFile(tmp_path).set("a", "1")
    later = SealedFile(tmp_path, passphrase="p")
    assert later.get("a") == "1"
    later.set("b", "2")
    assert not (tmp_path / "secrets.key").exists()
    assert SealedFile(tmp_path, passphrase="p").names() == ["a", "b"]
    with pytest.raises(StoreError, match="set LLM_MUX_PASSPHRASE"):
        SealedFile(tmp_path).get("a")
    with pytest.raises(StoreError, match="LLM_MUX_PASSPHRASE is wrong"):
        SealedFile(tmp_path, passphrase="q").get("a")


def _flip(content: bytes) -> bytes:
    envelope = json.loads(content)
    data = bytearray(base64.b64decode(envelope["data"]))
    data[0] ^= 1
    return json.dumps(envelope | {"data": base64.b64encode(data).decode()}).encode()


def _cost(content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"key": "scrypt", "cost": 2**40}).encode()


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: b"{}", lambda content: content[:-9], _flip, _cost],
    ids=["empty", "no fields", "cut", "flipped bit", "absurd cost"],
)
def test_a_damaged_file_is_reported_and_never_overwritten(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = SealedFile(tmp_path, passphrase="p")
    store.set("a", "1")
    path = tmp_path / "secrets.json.enc"
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    for attempt in (lambda: store.get("a"), lambda: store.set("b", "2"), store.names):
        with pytest.raises(StoreError, match="cannot be decrypted"):
            attempt()
    assert path.read_bytes() == before


def test_a_lost_key_file_is_named(tmp_path: Path) -> None:
    SealedFile(tmp_path).set("a", "1")
    (tmp_path / "secrets.key").unlink()
    with pytest.raises(StoreError, match=r"secrets\.key is missing"):
        SealedFile(tmp_path).set("b", "2")


def test_the_lock_is_held_against_others(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with locked(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with locked(tmp_path / "lock"):
        inside.set()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        SealedFile(tmp_path / "taken").set("a", "1")


@pytest.mark.usefixtures("restored_keyring")
def test_a_working_keyring_is_used_and_stays_the_choice(tmp_path: Path) -> None:
    keyring.set_keyring(Vault())
    store = open_store(env={}, data_dir=tmp_path)
    assert store.description == "keyring of the operating system (vault)"
    store.set("a", "1")
    assert open_store(env={}, data_dir=tmp_path).get("a") == "1"
    keyring.set_keyring(Nothing())
    with pytest.raises(StoreError, match="does not answer"):
        open_store(env={}, data_dir=tmp_path)
    assert open_store(env={"LLM_MUX_KEYRING": "file"}, data_dir=tmp_path).get("a") is None


@pytest.mark.usefixtures("restored_keyring")
def test_a_file_once_chosen_stays_the_choice(tmp_path: Path) -> None:
    keyring.set_keyring(Nothing())
    open_store(env={}, data_dir=tmp_path).set("a", "1")
    keyring.set_keyring(Vault())
    store = open_store(env={}, data_dir=tmp_path)
    assert "encrypted file" in store.description
    assert store.get("a") == "1"


@pytest.mark.usefixtures("restored_keyring")
@pytest.mark.parametrize("module", ["keyring.backends.null", "keyring.backends.fail", "keyrings.alt.file"])
def test_backends_that_keep_nothing_or_plaintext_are_not_used(tmp_path: Path, module: str) -> None:
    backend = type("Keyring", (Vault,), {"__module__": module})()
    keyring.set_keyring(backend)
    assert "encrypted file" in open_store(env={}, data_dir=tmp_path).description


@pytest.mark.usefixtures("restored_keyring")
def test_a_locked_keyring_does_not_hang(tmp_path: Path) -> None:
    backend = Locked()
    keyring.set_keyring(backend)
    began = time.monotonic()
    assert "encrypted file" in open_store(env={}, data_dir=tmp_path, timeout_s=0.05).description
    with pytest.raises(StoreError, match="no answer within"):
        KeyringStore(backend, tmp_path / "lock", timeout_s=0.05).get("a")
    assert time.monotonic() - began < 10
    backend.unlocked.set()


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="os, file or postgresql"):
        open_store(env={"LLM_MUX_KEYRING": "cloud"}, data_dir=tmp_path)


SECRET_SERVICE = """
import sys
from pathlib import Path
from llm_mux.auth.store import open_store
folder = Path(sys.argv[1])
store = open_store(env={"LLM_MUX_KEYRING": "os"}, data_dir=folder)
for value in ("1", "2" * 9000, "3" * 3000, "\\U0001f511"):
    store.set("api-key/claude/me", value)
    store.set("management-key", value)
    assert open_store(env={}, data_dir=folder).get("api-key/claude/me") == value
assert store.names() == ["api-key/claude/me", "management-key"]
store.delete("management-key")
assert store.get("management-key") is None
from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, find_login, holding, keep_login, remove_login
long = Credential(access="a" * 3000, refresh="r" * 2500, expires=5.5, way="browser", extra={"key-file": "k" * 4000})
with holding(folder, "vertex/me"):
    keep_login(store, StoredLogin("vertex", "me", long))
found = find_login(open_store(env={}, data_dir=folder), "vertex", "me")
assert found is not None and found.credential == long
assert remove_login(store, "vertex", "me") and find_login(store, "vertex", "me") is None
print(store.description)
"""


def test_a_real_secret_service_keeps_the_contract(tmp_path: Path) -> None:
    for tool in ("dbus-run-session", "gnome-keyring-daemon"):
        if shutil.which(tool) is None:
            missing(f"there is no {tool} here")
    unlock = "printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "GNOME_", "LLM_MUX_"))}
    folders = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "share")}
    script = f'{unlock} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", script, sys.executable, SECRET_SERVICE, str(tmp_path / "data")],
        env=env | folders,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "keyring of the operating system" in done.stdout
