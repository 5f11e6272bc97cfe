"""Where secrets are kept: the keyring of the operating system, else one encrypted file.

Rule: no plaintext secret on the disk, and no call that can hang: whatever talks to a keyring runs in a daemon thread
with a time limit. The first secret stored decides which store is used from then on (`LLM_MUX_KEYRING=os|file`
overrides), so that accounts do not vanish when a keyring comes or goes.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import msgspec

from llm_mux.auth.sealed import SealedFile, StoreError, locked
from llm_mux.paths import write_private

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")
Choice = Literal["os", "file"]

SERVICE = "llm-mux"
PROBE = ".probe"
INDEX = ".index"
PART_CHARS = 1200
_SPLIT = "llm-mux-parts:"
_REFUSED = ("keyrings.alt", "keyring.backends.null", "keyring.backends.fail", "keyring.backends.chainer")

__all__ = ["KeyringStore", "SealedFile", "SecretStore", "StoreError", "open_store", "real_backend"]


class SecretStore(Protocol):
    """Secrets by name. Names are free text that does not start with a dot. Every method may raise `StoreError`."""

    @property
    def description(self) -> str:
        """Which store this is, in words for `doctor` and the start of the daemon."""
        ...

    def get(self, name: str) -> str | None: ...

    def set(self, name: str, value: str) -> None: ...

    def renew(self, name: str, value: str) -> None:
        """The next value of a secret that is there, for whoever reads it: nothing that a running daemon has to be told
        of (`changes`)."""
        ...

    def delete(self, name: str) -> None:
        """Forget a secret; one that is not there is fine."""
        ...

    def names(self) -> list[str]: ...


def within(timeout_s: float, call: Callable[[], T]) -> T:
    """The result of a call that may hang, such as one to a locked keyring; `TimeoutError` when it does."""
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, name="llm-mux keyring", daemon=True).start()
    try:
        result, error = results.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast(T, result)


class KeyringStore:
    """Secrets in the operating system's keyring, one entry each.

    A keyring cannot list its entries, so the names are kept in an entry of their own. Long values are split into
    numbered parts under a fresh mark, because Windows refuses long ones; the head entry is written last.
    """

    def __init__(self, backend: KeyringBackend, lock: Path, *, timeout_s: float = 5.0) -> None:
        self._backend = backend
        self._lock = lock
        self._timeout_s = timeout_s

    @property
    def description(self) -> str:
        return f"keyring of the operating system ({self._backend.name})"

    def get(self, name: str) -> str | None:
        return self._joined(_checked(name))

    def set(self, name: str, value: str) -> None:
        with locked(self._lock):
            self._write(_checked(name), value)
            known = self._index()
            if name not in known:
                self._write(INDEX, msgspec.json.encode(sorted([*known, name])).decode())

    renew = set

    def delete(self, name: str) -> None:
        with locked(self._lock):
            known = self._index()
            if name in known:
                self._write(INDEX, msgspec.json.encode([each for each in known if each != name]).decode())
            self._forget(_checked(name))

    def names(self) -> list[str]:
        return self._index()

    def _index(self) -> list[str]:
        text = self._joined(INDEX)
        if text is None:
            return []
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self.description}: the list of names is damaged; log in again to mend it") from error

    def _joined(self, entry: str) -> str | None:
        for _ in range(2):  # parts may have been replaced by another process while they were read
            head = self._read(entry)
            if head is None or not head.startswith(_SPLIT):
                return head
            parts = [self._read(name) for name in _part_names(entry, head)]
            if None not in parts:
                return "".join(part for part in parts if part is not None)
        raise StoreError(f'{self.description}: parts of "{entry}" are missing; log in again')

    def _write(self, entry: str, value: str) -> None:
        before = self._read(entry)
        size = PART_CHARS if value.isascii() else PART_CHARS // 2
        if len(value) <= size and not value.startswith(_SPLIT):
            self._put(entry, value)
        else:
            parts = [value[start : start + size] for start in range(0, len(value), size)]
            head = f"{_SPLIT}{secrets.token_hex(4)}:{len(parts)}"
            for name, part in zip(_part_names(entry, head), parts, strict=True):
                self._put(name, part)
            self._put(entry, head)
        self._forget_parts(entry, before)

    def _forget(self, entry: str) -> None:
        before = self._read(entry)
        if before is not None:
            self._call(lambda: self._backend.delete_password(SERVICE, entry))
            self._forget_parts(entry, before)

    def _forget_parts(self, entry: str, head: str | None) -> None:
        if head is not None and head.startswith(_SPLIT):
            for name in _part_names(entry, head):
                if self._read(name) is not None:
                    self._remove(name)

    def _remove(self, entry: str) -> None:
        self._call(lambda: self._backend.delete_password(SERVICE, entry))

    def _read(self, entry: str) -> str | None:
        return self._call(lambda: self._backend.get_password(SERVICE, entry))

    def _put(self, entry: str, value: str) -> None:
        self._call(lambda: self._backend.set_password(SERVICE, entry, value))

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return within(self._timeout_s, call)
        except TimeoutError as error:
            raise StoreError(
                f"{self.description}: no answer within {self._timeout_s:g} s; is it locked? "
                "Unlock it, or set LLM_MUX_KEYRING=file"
            ) from error
        except Exception as error:
            raise StoreError(f"{self.description}: refused ({type(error).__name__}); is it locked?") from error


def _part_names(entry: str, head: str) -> list[str]:
    mark, _, count = head.removeprefix(_SPLIT).partition(":")
    return [f"{entry}#{mark}#{number}" for number in range(1, int(count) + 1)] if count.isdigit() else []


def _checked(name: str) -> str:
    if not name or name.startswith(".") or not name.isprintable():
        raise StoreError("the name of a secret must be printable and must not start with a dot")
    return name


def real_backend(timeout_s: float, *, try_writing: bool = True) -> KeyringBackend | None:
    """The keyring backend that keeps secrets safely and answers in time, if there is one."""
    try:
        return within(timeout_s, lambda: _answering_backend(try_writing))
    except Exception:
        return None


def _answering_backend(try_writing: bool, /) -> KeyringBackend | None:
    import keyring

    for backend in _members(keyring.get_keyring()):
        if type(backend).__module__.startswith(_REFUSED):
            continue
        with contextlib.suppress(Exception):
            if _answers(backend, try_writing):
                return backend
    return None


def _answers(backend: KeyringBackend, try_writing: bool, /) -> bool:
    if not try_writing:
        backend.get_password(SERVICE, INDEX)
        return True
    token = secrets.token_hex(8)
    backend.set_password(SERVICE, PROBE, token)
    found = backend.get_password(SERVICE, PROBE)
    backend.delete_password(SERVICE, PROBE)
    return found == token


def _members(backend: Any) -> Iterator[KeyringBackend]:
    """The backend, or those that a chain of backends consists of, best first."""
    members = getattr(backend, "backends", None)
    if type(backend).__module__ == "keyring.backends.chainer" and members is not None:
        yield from members
    else:
        yield backend


class _Deciding:
    """A store that writes down which kind it is with every secret it keeps or forgets: the file's time tells others
    that something changed (`changes`). A renewed one is no change."""

    def __init__(self, store: SecretStore, choice: Choice, mark: Path) -> None:
        self._store = store
        self._choice: Choice = choice
        self._mark = mark
        self.get = store.get
        self.renew = store.renew
        self.names = store.names

    @property
    def description(self) -> str:
        return self._store.description

    def set(self, name: str, value: str) -> None:
        self._store.set(name, value)
        write_private(self._mark, self._choice.encode() + b"\n")

    def delete(self, name: str) -> None:
        self._store.delete(name)
        if self._mark.exists():
            write_private(self._mark, self._choice.encode() + b"\n")


def _decided(mark: Path) -> Choice | None:
    try:
        word = mark.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return cast(Choice, word) if word in ("os", "file") else None


def changes(data_dir: Path) -> Path:
    """The file that is written anew whenever a secret is kept or forgotten (not when one is renewed), whichever store
    keeps it."""
    return data_dir / "secrets.kind"


def open_store(*, env: Mapping[str, str], data_dir: Path, timeout_s: float = 5.0) -> SecretStore:
    """The store in use. Raises `StoreError` when secrets are in a keyring that does not answer now."""
    mark = changes(data_dir)
    wanted = env.get("LLM_MUX_KEYRING") or None
    if wanted == "postgresql":
        from llm_mux.auth.postgres_store import from_environment

        return from_environment(env, mark)
    if wanted not in (None, "os", "file"):
        raise StoreError("LLM_MUX_KEYRING must be os, file or postgresql")
    decided = _decided(mark)
    choice = wanted or decided
    backend = real_backend(timeout_s, try_writing=decided != "os") if choice != "file" else None
    if backend is not None:
        return _Deciding(KeyringStore(backend, data_dir / "secrets.lock", timeout_s=timeout_s), "os", mark)
    if choice == "os":
        raise StoreError(
            "the keyring of the operating system does not answer; unlock it, or set LLM_MUX_KEYRING=file "
            "and log in again"
        )
    sealed = SealedFile(data_dir, passphrase=env.get("LLM_MUX_PASSPHRASE") or None)
    return _Deciding(sealed, "file", mark)
