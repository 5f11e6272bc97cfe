"""The transcripts under tests/transcripts, and the models that stand for each format in the crossings."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass

from llm_mux import ir
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Target, Translator

FOLDER = pathlib.Path(__file__).parents[1] / "transcripts"

MODELS = {
    "openai_chat": "gpt-5.5",
    "openai_completions": "gpt-3.5-turbo-instruct",
    "openai_responses": "gpt-5.5",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-flash-preview",
    "ollama": "qwen3:8b",
    "bedrock": "us.anthropic.claude-opus-5",
    "bedrock_invoke": "us.anthropic.claude-opus-5",
}

CLIENTS = registry.names()
"""The formats that clients speak."""

UPSTREAMS = tuple(name for name in CLIENTS if name != "openai_completions")
"""The formats that a translated request may go out in."""

TEXTUAL = tuple(
    name for name in UPSTREAMS if registry.get(name).stream_type.startswith(("text/", "application/x-ndjson"))
)
"""Those whose streams are text."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recorded exchange of one format."""

    format: str
    case: str

    def __str__(self) -> str:
        return f"{self.format}-{self.case}"

    @property
    def translator(self) -> Translator:
        return registry.get(self.format)

    @property
    def target(self) -> Target:
        return target(self.format)

    def path(self, stem: str) -> pathlib.Path:
        found = sorted((FOLDER / self.format / self.case).glob(f"{stem}.*"))
        return found[0] if found else FOLDER / self.format / self.case / stem

    def body(self, stem: str) -> bytes:
        return self.path(stem).read_bytes()

    def request(self) -> ir.Request:
        return self.translator.decode_request(self.body("request"), Hints(model=MODELS[self.format], stream=True))

    def response(self) -> ir.Response:
        return self.translator.decode_response(self.body("response"), self.target)

    def events(self) -> list[ir.Event]:
        return events(self.format, self.body("stream"))


def target(format_: str) -> Target:
    """A target of a format with everything else at its default."""
    return Target(MODELS[format_])


def events(format_: str, stream: bytes) -> list[ir.Event]:
    """A whole stream of a format, decoded."""
    decoder = registry.get(format_).stream_decoder(target(format_))
    return [*decoder.feed(stream), *decoder.finish()]


def transcripts(stem: str, only: Callable[[Transcript], bool] = lambda _: True) -> list[Transcript]:
    """Every transcript that has the file `stem`, in a fixed order."""
    found = [Transcript(path.parent.name, path.name) for path in sorted(FOLDER.glob("*/*")) if path.is_dir()]
    return [t for t in found if t.path(stem).exists() and t.format in CLIENTS and only(t)]
