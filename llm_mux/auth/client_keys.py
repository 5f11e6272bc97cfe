"""The secrets that this daemon gives to its clients: how they are made, and what is kept of them.

Rule: a key is 256 random bits, so a plain SHA-256 of it is kept and no slow hash is needed: nobody can try them all.
"""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "mux-"
_PERSON = b"llm-mux fixed"


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """What is kept instead of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def fixed_name(key: str) -> str:
    """What a key of the configuration is called: the same for every daemon, wherever it stands in the list there."""
    return (
        f"config-{hashlib.blake2b(key.encode('utf-8', 'surrogateescape'), digest_size=4, person=_PERSON).hexdigest()}"
    )


def hint(key: str) -> str:
    """As much of a key as tells it from its owner's others."""
    return f"{key[: len(PREFIX) + 4]}...{key[-4:]}"
