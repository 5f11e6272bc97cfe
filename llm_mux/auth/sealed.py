"""Secrets in one encrypted file, for machines without a keyring.

AES-256-GCM. The key is made from a passphrase by scrypt (RFC 7914), or is a random one in a file beside it, mode 0600.
Rule: the file is replaced whole, under a lock that other processes keep too; a damaged file is never overwritten.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from llm_mux.paths import private_dir, write_private

SCRYPT_N = 2**15
_SCRYPT_MOST = 2**20


class StoreError(Exception):
    """The secret store cannot do what was asked; the message says what to do and holds no secret."""


class _Envelope(msgspec.Struct, frozen=True):
    """The file as JSON. `salt` and `cost` belong to scrypt; what says how to decrypt is authenticated too."""

    version: Literal[1]
    key: Literal["scrypt", "file"]
    salt: bytes
    cost: int
    nonce: bytes
    data: bytes

    def authenticated(self) -> bytes:
        return f"llm-mux {self.version} {self.key} {self.salt.hex()} {self.cost}".encode()


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that other processes and threads respect, as long as the block runs.

    Without `wait` a lock that is taken raises BlockingIOError.
    """
    try:
        private_dir(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path.parent}: cannot be written: {error.strerror}") from error
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


class SealedFile:
    """The file store, at `path`. Without a passphrase, `secrets.key` beside the file holds the key."""

    def __init__(self, folder: Path, *, passphrase: str | None = None) -> None:
        self.path = folder / "secrets.json.enc"
        self._key_path = folder / "secrets.key"
        self._lock = folder / "secrets.lock"
        self._passphrase = passphrase
        self._salt = secrets.token_bytes(16)
        self._derived: dict[tuple[bytes, int], bytes] = {}

    @property
    def description(self) -> str:
        how = "LLM_MUX_PASSPHRASE" if self._passphrase else f"the key file {self._key_path.name} beside it"
        return f"encrypted file {self.path} (opened by {how})"

    def get(self, name: str) -> str | None:
        return self._read().get(name)

    def set(self, name: str, value: str) -> None:
        if not name or name.startswith(".") or not name.isprintable():
            raise StoreError("the name of a secret must be printable and must not start with a dot")
        with locked(self._lock):
            self._write(self._read() | {name: value})

    renew = set

    def delete(self, name: str) -> None:
        with locked(self._lock):
            known = self._read()
            if name in known:
                self._write({each: value for each, value in known.items() if each != name})

    def names(self) -> list[str]:
        return sorted(self._read())

    def _read(self) -> dict[str, str]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error
        # Only now: it takes 8 MB, which who keeps nothing here can do without.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            envelope = msgspec.json.decode(content, type=_Envelope)
            key = self._key_for(envelope)
            opened = AESGCM(key).decrypt(envelope.nonce, envelope.data, envelope.authenticated())
            return msgspec.json.decode(opened, type=dict[str, str])
        except (InvalidTag, msgspec.MsgspecError, ValueError) as error:
            raise StoreError(self._unreadable()) from error

    def _unreadable(self) -> str:
        cause = "LLM_MUX_PASSPHRASE is wrong or the file is damaged" if self._passphrase else "it or its key is damaged"
        return f"{self.path}: cannot be decrypted: {cause}; restore it from a backup, or move it away and log in again"

    def _write(self, values: dict[str, str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._passphrase:
            blank = _Envelope(1, "scrypt", self._salt, SCRYPT_N, secrets.token_bytes(12), b"")
        else:
            blank = _Envelope(1, "file", b"", 0, secrets.token_bytes(12), b"")
        try:
            new = not self._passphrase and not self._key_path.exists()
            key = self._new_key() if new else self._key_for(blank)
            data = AESGCM(key).encrypt(blank.nonce, msgspec.json.encode(values), blank.authenticated())
            write_private(self.path, msgspec.json.encode(msgspec.structs.replace(blank, data=data)))
            if self._passphrase:
                self._key_path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _key_for(self, envelope: _Envelope) -> bytes:
        if envelope.key == "file":
            return self._file_key()
        if not self._passphrase:
            raise StoreError(f"{self.path} is locked by a passphrase; set LLM_MUX_PASSPHRASE")
        if not 2**10 <= envelope.cost <= _SCRYPT_MOST:
            raise ValueError("scrypt cost out of range")
        known = (envelope.salt, envelope.cost)
        if known not in self._derived:
            self._derived[known] = _derive(self._passphrase, *known)
            self._salt = envelope.salt
        return self._derived[known]

    def _file_key(self) -> bytes:
        try:
            return base64.b64decode(self._key_path.read_bytes(), validate=False)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self._key_path} is missing, which opens {self.path.name}; restore it, "
                "or move both away and log in again"
            ) from error
        except OSError as error:
            raise StoreError(f"{self._key_path}: cannot be read: {error.strerror}") from error

    def _new_key(self) -> bytes:
        key = secrets.token_bytes(32)
        write_private(self._key_path, base64.b64encode(key) + b"\n")
        return key


def _derive(passphrase: str, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())
