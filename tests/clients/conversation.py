"""What a test says and what it gets back, free of any protocol; every SDK driver turns it into its own shapes."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `schema` is its JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    description: str = "Tells something."


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the SDK parsed it; `id` is "" where the protocol has none."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """A file that is named by its URL."""

    media_type: str
    url: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave back, perhaps with a PNG, here or elsewhere."""

    call: Call
    text: str
    image: bytes | None = None
    error: bool = False
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A user's turn: words, perhaps a PNG, a PDF or an MP4, perhaps a file that is elsewhere."""

    text: str
    image: bytes | None = None
    pdf: bytes | None = None
    video: bytes | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An assistant's turn made up by the test."""

    text: str


Source = tuple[str, str, str]
"""A source that an answer names: its URL, its title, and the words that it stands for ("" where the SDK has no place)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply; `stop` is the protocol's own word, `native` what the SDK's manual says to send back as history. With None
    there the turn is made of the text and the calls alone, as by a client that keeps nothing else.

    `prompt_tokens` are all of the prompt, of which `cached_tokens` were read from a cache; `reasoning_tokens` are a part
    of the output, None where the protocol does not tell them apart. `searches` are the questions that the vendor's own
    search asked.
    """

    text: str
    calls: tuple[Call, ...]
    reasoning: str
    stop: str
    input_tokens: int
    output_tokens: int
    native: Any = None
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    sources: tuple[Source, ...] = ()
    searches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one assistant turn, in the order of its calls."""

    results: tuple[Result, ...]


Turn = User | Said | Answer | Results


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `force` names the tool that must be called; with `search` the vendor may search the web."""

    turns: tuple[Turn, ...]
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    force: str | None = None
    schema: Mapping[str, Any] | None = None
    think: bool = False
    max_tokens: int = 4000
    stop: tuple[str, ...] = ()
    search: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """How a protocol says why it stopped."""

    done: str
    tool: str
    length: str
    filtered: str
    stopped: str


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a protocol can say at all; `links` are the media types of files that it names by URL."""

    force: bool = True
    call_ids: bool = True
    result_images: bool = True
    result_errors: bool = True
    pdf: bool = True
    count: bool = True
    stop: bool = True
    cached: bool = True
    reasoned: bool = True
    video: bool = False
    search: bool = True
    sources: bool = True
    links: tuple[str, ...] = ()


class Driver(Protocol):
    """One official SDK, one protocol."""

    protocol: str
    words: Words
    abilities: Abilities

    def ask(self, model: str, ask: Ask) -> Answer:
        """The whole answer in one piece."""

    def stream(self, model: str, ask: Ask) -> Answer:
        """The same, put together by the SDK from a stream."""

    def pieces(self, model: str, ask: Ask) -> AbstractContextManager[Iterator[str]]:
        """The text of a stream as it comes; leaving the block closes the connection."""

    def count(self, model: str, ask: Ask) -> int:
        """The tokens of the request, without sending it to the model."""

    def status_of(self, error: Exception) -> int | None:
        """The HTTP status an SDK's exception stands for; None when it is not one of the SDK's status errors."""

    def close(self) -> None:
        """Give the connections back."""


WEATHER = Tool(
    "weather",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "note": {"type": "string"}},
        "required": ["city"],
    },
    "Tells the weather of a city.",
)

PERSON: Mapping[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass(slots=True)
class Gathered:
    """A stream being put together by a driver whose SDK does not do it."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    stop: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
