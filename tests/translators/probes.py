"""Requests with one feature each, for asking an encoder what it makes of that feature.

Rule: a probe is its base plus the feature and nothing else, so whatever differs in the encoded bytes is the feature.
`clients` are the formats whose clients can ask for it; the first that is not the target's own counts, since a client
of the same format is spliced. The page docs/translation.md is made from these.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from msgspec import Raw, structs

from llm_mux import ir
from llm_mux.translators import search

OPENAI = ("openai_responses", "openai_chat")
ANY = ("openai_responses", "anthropic", "gemini", "openai_chat", "ollama")

PNG = ir.Inline(
    "image/png", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
PDF = ir.Inline("application/pdf", base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode())
WAV = ir.Inline("audio/wav", base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt ").decode())
MP4 = ir.Inline("video/mp4", base64.b64encode(b"\x00\x00\x00\x18ftypmp42").decode())
TXT = ir.Inline("text/plain", base64.b64encode(b"Plain words.").decode())

SCHEMA = Raw(
    b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
)

BASE = ir.Request("client-model", (ir.Message("user", (ir.Text("Hello."),)),))

Seen = Callable[[ir.Request], object]


@dataclass(frozen=True, slots=True)
class Probe:
    """One feature. `seen` reads it from a request: the same value on both sides means that it arrived as it was.

    `hint`: it may be left out without a report: others' reasoning, marks for caches, what holds anyway where it is left
    out.
    """

    section: str
    feature: str
    request: ir.Request
    seen: Seen
    base: ir.Request = BASE
    clients: tuple[str, ...] = ANY
    hint: bool = False

    def for_target(self, format_: str) -> tuple[ir.Request, ir.Request]:
        """Base and request of a client that does not speak `format_`, where there is one that has the feature."""
        client = next((name for name in self.clients if name != format_), self.clients[0])
        return structs.replace(self.base, protocol=client), structs.replace(self.request, protocol=client)


def user(*parts: ir.Part) -> ir.Message:
    return ir.Message("user", parts or (ir.Text("Hello."),))


def model(*parts: ir.Part) -> ir.Message:
    return ir.Message("assistant", parts)


def system(text: str) -> ir.Message:
    return ir.Message("system", (ir.Text(text),))


TOOL = ir.Tool("get_weather", "Tells the weather.", SCHEMA)
OTHER = ir.Tool("get_time", "Tells the time.")
TOOLS = structs.replace(BASE, tools=(TOOL, OTHER))
CALL = ir.ToolCall("call_1", "get_weather", '{"city":"Paris"}')
RESULT = ir.ToolResult("call_1", (ir.Text("Sunny."),), name="get_weather")


def said(*messages: ir.Message) -> ir.Request:
    return structs.replace(BASE, messages=messages)


def called(*results: ir.Part, call: tuple[ir.Part, ...] = (CALL,)) -> ir.Request:
    """A conversation in the middle of a tool loop."""
    return structs.replace(TOOLS, messages=(user(), model(*call), user(*results)))


def all_parts(request: ir.Request) -> Iterator[ir.Part]:
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ir.ToolResult):
                yield from part.content


def sources(kind: type[ir.Part]) -> Seen:
    """Where the media of a kind come from."""
    return lambda request: [
        _place(part.source) for part in all_parts(request) if type(part) is kind and _is_medium(part)
    ]


def _is_medium(part: ir.Part) -> TypeGuard[ir.Image | ir.Document | ir.Audio | ir.Video]:
    return isinstance(part, ir.Image | ir.Document | ir.Audio | ir.Video)


def _place(source: ir.Source) -> str:
    match source:
        case ir.Inline(data=data):
            return data
        case ir.Url(url=url):
            return url
        case ir.FileId(id=id_):
            return id_


def of_documents(name: str) -> Seen:
    """A field of the documents."""
    return lambda request: [getattr(part, name) for part in all_parts(request) if isinstance(part, ir.Document)]


def groups(request: ir.Request) -> object:
    return [tool.namespace_description for tool in request.tools if isinstance(tool, ir.Tool)]


def searched(request: ir.Request) -> object:
    """The settings of a web search."""
    found = [search.settings(tool) for tool in request.tools if isinstance(tool, ir.HostedTool)]
    return [(one.allowed, one.blocked, one.place, one.size, one.most) for one in found]


def details(request: ir.Request) -> object:
    return [part.detail for part in all_parts(request) if isinstance(part, ir.Image)]


def sides(request: ir.Request) -> object:
    """Who says what, in order, turns of one role taken together."""
    turns: list[tuple[str, str]] = []
    for message in request.messages:
        role = "system" if message.role == "developer" else message.role
        words = "".join(ir.joined(message.parts).split())
        if turns and turns[-1][0] == role:
            words = turns.pop()[1] + words
        turns.append((role, words))
    return turns


def results(request: ir.Request) -> object:
    """What is in the results."""
    found = [part for part in all_parts(request) if isinstance(part, ir.ToolResult)]
    return [[_held(part) for part in result.content if _held(part)] for result in found]


def _held(part: ir.Part) -> str:
    return _place(part.source) if _is_medium(part) else getattr(part, "text", "")


def errors(request: ir.Request) -> object:
    return [part.is_error for part in all_parts(request) if isinstance(part, ir.ToolResult)]


def calls(request: ir.Request) -> object:
    found = [part for part in all_parts(request) if isinstance(part, ir.ToolCall)]
    return [(c.name, c.namespace, c.arguments.replace(" ", "") or "{}", c.custom) for c in found]


def tools(request: ir.Request) -> object:
    functions = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    return [(tool.name, tool.namespace, tool.free_text) for tool in functions]


def stricts(request: ir.Request) -> object:
    return [bool(tool.strict) for tool in request.tools if isinstance(tool, ir.Tool)]


def hosted(request: ir.Request) -> object:
    return [tool.kind for tool in request.tools if isinstance(tool, ir.HostedTool)]


def reasoning(request: ir.Request) -> object:
    """Reasoning with its seals."""
    found = [part for part in all_parts(request) if isinstance(part, ir.Reasoning)]
    return [(part.text, part.native is not None) for part in found]


def signatures(request: ir.Request) -> object:
    found = [part.native for part in all_parts(request) if isinstance(part, ir.ToolCall) and part.native is not None]
    return [bytes(native.data) for native in found]


def marks(request: ir.Request) -> object:
    """Where a mark for the cache stands."""
    parts = [part.cache is not None for part in all_parts(request) if isinstance(part, ir.Text)]
    return (
        parts,
        [tool.cache is not None for tool in request.tools if isinstance(tool, ir.Tool)],
        request.cache is not None,
    )


def off(request: ir.Request) -> object:
    return request.thinking.off


def extra(*names: str) -> Seen:
    """A field that only the client's format has, under any of the names that decoders keep it by."""
    return lambda request: [bytes(request.extras[name]) for name in names if name in request.extras]


def form(request: ir.Request) -> object:
    return request.output.kind


def field(name: str) -> Seen:
    """A field of the request."""
    return lambda request: getattr(request, name)


def knob(name: str) -> Seen:
    """A field of the sampling."""
    return lambda request: getattr(request.sampling, name)


def wish(name: str) -> Seen:
    """A field of the thinking."""
    return lambda request: getattr(request.thinking, name)
