"""Media types and this format's words for them, and the names that its documents may have.

Rules. What the bytes show wins over what was said. A document's name is letters, digits, single blanks, hyphens and
brackets, and no two of a request are the same. Spec: the Bedrock Runtime page, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from llm_mux.wire import media

IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
VIDEOS: Final = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/mpeg": "mpeg",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
AUDIO: Final = {
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/pcm": "pcm",
}
_SAME: Final = {"x-aac": "aac", "mpg": "mpeg", "mpga": "mp3", "mp4": "m4a"}
_LONGEST_NAME: Final = 200
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\s()\[\]_-]+")
_BLANKS: Final = re.compile(r"\s+")
_TEXTUAL: Final = frozenset({"application/json", "application/yaml", "application/xml"})


def media_type(word: str, table: Mapping[str, str]) -> str:
    """The media type of one of this format's words; unknown ones keep their word under the table's own kind."""
    for kind, known in table.items():
        if word == known:
            return kind
    kind = next(iter(table)).partition("/")[0]
    if word in _SAME and kind in ("audio", "video"):
        return media_type(_SAME[word], table) if _SAME[word] in table.values() else f"{kind}/{word}"
    return f"{kind}/{word}"


def word(said: str, data: str, table: Mapping[str, str]) -> str | None:
    """This format's word for base64 `data` that was called `said`; None when it has none."""
    seen = media.sniff(data)
    if seen is not None and seen in table:
        return table[seen]
    said = said.partition(";")[0].strip().lower()
    if said in table:
        return table[said]
    if table is DOCUMENTS and (said.startswith("text/") or said in _TEXTUAL):
        return "txt"
    return None


class DocumentNames:
    """Names for the documents of one request, each once, the same for the same request."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def legal(self, name: str | None) -> str:
        """`name` without its extension and without what may not stand in it, numbered when it is there already."""
        stem = (name or "").rsplit("/", 1)[-1]
        head, dot, tail = stem.rpartition(".")
        stem = head if dot and head and len(tail) <= 5 else stem
        clean = _BLANKS.sub(" ", _NOT_IN_NAMES.sub(" ", stem)).strip()[: _LONGEST_NAME - 5].strip() or "document"
        made, number = clean, 1
        while made in self._taken:
            number += 1
            made = f"{clean} {number}"
        self._taken.add(made)
        return made


def by_extension(url: str, said: str | None, table: Mapping[str, str]) -> str | None:
    """This format's word for a file that is elsewhere, by what was said or by its name."""
    if said is not None and said in table:
        return table[said]
    extension = url.rpartition(".")[2].lower()
    extension = {"jpg": "jpeg", "htm": "html"}.get(extension, extension)
    return extension if extension in table.values() else None
