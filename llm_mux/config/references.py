"""How a secret is named without being written down: `env:NAME`, `keyring:NAME`, `file:PATH`, `vault:PATH#FIELD`,
`aws:NAME#FIELD`, or `!PASSTHRU` for the client's own.

Rule: the configuration keeps the reference; only whoever needs the secret resolves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

PASSTHRU = "!PASSTHRU"


class Reference(Struct, frozen=True):
    """`name` is the variable's, file's or entry's name; for `plain` it is the secret itself."""

    kind: Literal["plain", "env", "keyring", "passthru", "file", "vault", "aws"]
    name: str


ELSEWHERE: tuple[Literal["file", "vault", "aws"], ...] = ("file", "vault", "aws")
"""The kinds that others keep: they are read when the configuration is."""


def reference(value: str) -> Reference:
    if value == PASSTHRU:
        return Reference("passthru", "")
    if value.startswith("env:"):
        return Reference("env", value.removeprefix("env:").strip())
    if value.startswith("keyring:"):
        return Reference("keyring", value.removeprefix("keyring:").strip())
    for kind in ELSEWHERE:
        if value.startswith(f"{kind}:"):
            return Reference(kind, value.removeprefix(f"{kind}:").strip())
    return Reference("plain", value)


def from_env(value: str | None, env: Mapping[str, str]) -> str | None:
    """The text that a setting such as `auth.jwt.secret` stands for, when it may name an environment variable."""
    if value is None:
        return None
    found = reference(value)
    return env.get(found.name) if found.kind == "env" else value
