"""What a conversation is made of: sources, parts, messages, and the opaque vendor data that rides along."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Raw, Struct

Role = Literal["system", "developer", "user", "assistant"]


class Native(Struct, frozen=True):
    """Vendor data that only `owner` (a translator's name) may emit again.

    `family` is the model family that made it (see `family`), "" when it is not bound to one.
    """

    owner: str
    data: Raw
    family: str = ""


class Cache(Struct, frozen=True):
    """A client's mark: the prompt up to and including this part is worth caching. `ttl` such as "5m", "1h", "30m"."""

    ttl: str | None = None


class Inline(Struct, frozen=True):
    """Bytes carried in the request, base64 without a data-URL prefix."""

    media_type: str
    data: str


class Url(Struct, frozen=True):
    url: str
    media_type: str | None = None


class FileId(Struct, frozen=True):
    """A file that lives at one vendor (`owner`: translator name)."""

    owner: str
    id: str
    media_type: str | None = None


Source: TypeAlias = Inline | Url | FileId


class Citation(Struct, frozen=True):
    """One source of a text part. `start`/`end` are character offsets into that part, None: the whole part."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    native: Native | None = None


class Text(Struct, frozen=True):
    text: str
    citations: tuple[Citation, ...] = ()
    cache: Cache | None = None
    native: Native | None = None


class Image(Struct, frozen=True):
    source: Source
    detail: str | None = None
    cache: Cache | None = None
    native: Native | None = None


class Document(Struct, frozen=True):
    """A PDF or other file; a plain-text document is `Inline("text/plain", <base64>)`. `context` is what the client says
    of it, `cited`: the answer shall cite it, `detail` as in `Image`."""

    source: Source
    name: str | None = None
    context: str | None = None
    cited: bool = False
    cache: Cache | None = None
    native: Native | None = None
    detail: str | None = None


class Audio(Struct, frozen=True):
    source: Source
    native: Native | None = None


class Video(Struct, frozen=True):
    source: Source
    native: Native | None = None


class ToolCall(Struct, frozen=True):
    """`arguments` is the JSON text as the model wrote it ("" means {}), or free text when `custom`."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    namespace: str | None = None
    cache: Cache | None = None
    native: Native | None = None


class ToolResult(Struct, frozen=True):
    """`is_error` None: the client's format cannot say. `name` is filled in by `translators.history.tidy`."""

    call_id: str
    content: tuple[Part, ...]
    name: str | None = None
    is_error: bool | None = None
    custom: bool = False
    cache: Cache | None = None
    native: Native | None = None


class Reasoning(Struct, frozen=True):
    """What the model thought. `text` may be "" with a `native` seal (signature, encrypted content).

    `raw`: the text is the chain itself (open-weight models) and not a summary.
    """

    text: str
    native: Native | None = None
    raw: bool = False


class Refusal(Struct, frozen=True):
    text: str


class Opaque(Struct, frozen=True):
    """A block that only its owner understands (server-side tool use and its results, compaction, ...).

    `label` names it in messages. `text` is a short honest stand-in for others; with `hint` others drop it silently,
    without they show `text`, and with an empty `text` they refuse the request.
    """

    native: Native
    label: str
    text: str = ""
    hint: bool = False


Part: TypeAlias = Text | Image | Document | Audio | Video | ToolCall | ToolResult | Reasoning | Refusal | Opaque


class Message(Struct, frozen=True):
    """One turn. Tool results are parts of a user turn. `phase`: Responses' commentary or final_answer."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    phase: str | None = None
    native: Native | None = None


@lru_cache(1024)
def family(model: str) -> str:
    """The model family that opaque data is bound to: "claude", "gemini", "gpt", "deepseek" ...

    Taken from the letters of the last path segment, so `us.anthropic.claude-x` and `anthropic/claude-x` agree.
    """
    name = model.rsplit("/", 1)[-1].lower()
    for known in ("claude", "gemini", "gemma", "gpt", "grok", "deepseek", "qwen", "kimi", "glm", "mistral", "llama"):
        if known in name:
            return known
    letters = []
    for char in name:
        if not char.isalpha():
            break
        letters.append(char)
    return "".join(letters)


def joined(parts: Sequence[Part], separator: str = "") -> str:
    """The plain text of the Text parts."""
    return separator.join(part.text for part in parts if isinstance(part, Text))
