"""The dashboard's files: read once, each with its tag, and packed as often as somebody asks for it packed.

Every address in the page begins with `/dashboard/_/`; the mark is replaced by a digest of all files, so what is below
it never changes and may be kept for good. A file says of others only where they are beside it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from llm_mux.errors import Kind, MuxError

ROOT = "/dashboard"
PAGE = "index.html"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "txt": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}
_PACKED_ALREADY = frozenset({"png", "ico", "woff2"})
_MARK = f"{ROOT}/_/".encode()
_NOT_AT_ALL = re.compile(r";\s*q=0(\.0*)?\s*$")


@dataclass(frozen=True, slots=True)
class File:
    """One file. `packed` has what was made of it for each content coding so far."""

    media: str
    body: bytes
    tag: str
    packs: bool
    packed: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def coded(self, coding: str) -> bytes:
        """The body in a content coding, `""` for none."""
        if not coding:
            return self.body
        if coding not in self.packed:
            self.packed[coding] = _pack(self.body, coding)
        return self.packed[coding]

    def coding(self, accepted: str) -> str:
        """The best content coding for an `Accept-Encoding`."""
        if not self.packs:
            return ""
        offered = {
            part.partition(";")[0].strip().lower() for part in accepted.split(",") if not _NOT_AT_ALL.search(part)
        }
        return next((coding for coding in ("br", "gzip") if coding in offered), "")


class Site(Struct, frozen=True):
    """All files by their path, and the digest of them together. The page is among them, with its addresses whole."""

    digest: str
    files: Mapping[str, File]


@lru_cache(maxsize=1)
def site() -> Site:
    """Reads the package's own files; blocks for some milliseconds, once."""
    return read(files(__package__) / "static")


def read(folder: Traversable) -> Site:
    found = {path: each.read_bytes() for path, each in sorted(_below(folder, ""))}
    whole = hashlib.sha256()
    for path, body in found.items():
        whole.update(f"{path} {len(body)} ".encode())
        whole.update(body)
    digest = whole.hexdigest()[:16]
    if PAGE in found:
        found[PAGE] = found[PAGE].replace(_MARK, f"{ROOT}/{digest}/".encode())
    return Site(digest, {path: _file(path, body) for path, body in found.items()})


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each, f"{prefix}{each.name}/")
        elif _ending(each.name) in TYPES:
            yield f"{prefix}{each.name}", each


def _file(path: str, body: bytes) -> File:
    ending = _ending(path)
    return File(TYPES[ending], body, hashlib.sha256(body).hexdigest()[:20], ending not in _PACKED_ALREADY)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _pack(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, 9, mtime=0)
    import brotli  # type: ignore[import-untyped]  # it has none

    # The best quality takes seconds for what this one does in a few milliseconds.
    packed: bytes = brotli.compress(body, quality=7)
    return packed


def found(path: str) -> File:
    """Raises MuxError NOT_FOUND."""
    file = site().files.get(path)
    if file is None:
        raise MuxError(Kind.NOT_FOUND, "The dashboard has no such file.", code="file_not_found")
    return file
