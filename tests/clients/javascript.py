"""The official JavaScript SDKs, as drivers: one Node process holds all of them and is asked over a pipe.

The scripts are in tests/node; `driver.mjs` says what goes over the pipe.
"""

import base64
import contextlib
import itertools
import json
import pathlib
import queue
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.clients.conversation import Abilities, Answer, Ask, Call, Turn, Words
from tests.upstreams.aimock import node

SCRIPTS = pathlib.Path(__file__).parents[1] / "node"
PATIENCE_S = 30


class SdkError(Exception):
    """An exception of a JavaScript SDK; `status` is the HTTP status it stands for, if any."""

    def __init__(self, name: str, message: str, status: int | None, code: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Client:
    """One SDK: the script that holds it (and, of the AI SDK, the provider), its protocol and what it can say."""

    script: str
    protocol: str
    words: Words
    abilities: Abilities


_UNIFIED = Words("stop", "tool-calls", "length", "content-filter", "stop")
_TEXT_RESULTS = {"result_images": False, "result_errors": False}
_FILES = ("image/png", "application/pdf")

CLIENTS = (
    Client(
        "openai-chat",
        "openai-chat",
        Words("stop", "tool_calls", "length", "content_filter", "stop"),
        Abilities(**_TEXT_RESULTS, count=False, links=("image/png",)),
    ),
    Client(
        "openai-responses",
        "openai-responses",
        Words("completed", "completed", "incomplete: max_output_tokens", "incomplete: content_filter", "completed"),
        Abilities(result_errors=False, stop=False, links=_FILES),
    ),
    Client(
        "anthropic",
        "anthropic",
        Words("end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence"),
        Abilities(links=_FILES),
    ),
    Client(
        "google-genai",
        "gemini",
        Words("STOP", "STOP", "MAX_TOKENS", "SAFETY", "STOP"),
        Abilities(video=True, links=(*_FILES, "audio/wav", "video/mp4")),
    ),
    Client(
        "ollama",
        "ollama",
        Words("stop", "stop", "length", "stop", "stop"),
        Abilities(
            **_TEXT_RESULTS,
            force=False,
            call_ids=False,
            pdf=False,
            count=False,
            cached=False,
            reasoned=False,
            search=False,
            sources=False,
        ),
    ),
    Client(
        "ai-sdk openai",
        "openai-responses",
        _UNIFIED,
        Abilities(result_errors=False, count=False, stop=False, links=_FILES),
    ),
    Client(
        "ai-sdk openai-compatible",
        "openai-chat",
        _UNIFIED,
        Abilities(**_TEXT_RESULTS, count=False, links=("image/png",), search=False, sources=False),
    ),
    Client("ai-sdk anthropic", "anthropic", _UNIFIED, Abilities(count=False, links=_FILES)),
    Client("ai-sdk google", "gemini", _UNIFIED, Abilities(count=False, video=True, search=False)),
)


class NodeClients:
    """The Node process. Node looks for packages beside a script, so the scripts are copied beside a link to them."""

    def __init__(self, url: str, node_tools: pathlib.Path, folder: pathlib.Path) -> None:
        (folder / "node_modules").symlink_to(node_tools / "node_modules")
        for source in SCRIPTS.glob("*.mjs"):
            (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        self._process = subprocess.Popen(
            [node(node_tools), "driver.mjs", url],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._ids = itertools.count()
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def begin(self, **fields: Any) -> int:
        """Sends one line; the number under which its answer comes."""
        number = next(self._ids)
        self._send(id=number, **fields)
        return number

    def leave(self, number: int) -> None:
        self._send(id=number, op="leave")

    def _send(self, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields) + "\n")
        self._process.stdin.flush()

    def next(self, number: int) -> dict[str, Any]:
        """The next line about `number`. Raises SdkError for an exception of the SDK; lines of streams left earlier are
        passed over."""
        while True:
            line = self._lines.get(timeout=PATIENCE_S)
            if line["id"] == number:
                if (error := line.get("error")) is not None:
                    raise SdkError(**error)
                return line

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._reader.join()
        self._process.stdout.close()


class JavaScript:
    """One of the SDKs."""

    def __init__(self, nodes: NodeClients, client: Client) -> None:
        self._nodes = nodes
        self._script = client.script
        self.protocol, self.words, self.abilities = client.protocol, client.words, client.abilities

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer(self._one("ask", model, ask))

    def stream(self, model: str, ask: Ask) -> Answer:
        return _answer(self._one("stream", model, ask))

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        number = self._begin("pieces", model, ask)

        def texts() -> Iterator[str]:
            while (line := self._nodes.next(number)) and "piece" in line:
                yield line["piece"]

        try:
            yield texts()
        finally:
            self._nodes.leave(number)

    def count(self, model: str, ask: Ask) -> int:
        return int(self._one("count", model, ask))

    def loop(self, model: str, ask: Ask) -> dict[str, list[str]]:
        """What the AI SDK's own loop over its first tool gave, whole and streamed: `cities` that were asked for, `texts`."""
        found: dict[str, list[str]] = self._one("loop", model, ask)
        return found

    def status_of(self, error: Exception) -> int | None:
        return error.status if isinstance(error, SdkError) else None

    def close(self) -> None:
        """Nothing: the process is shared."""

    def _begin(self, op: str, model: str, ask: Ask) -> int:
        turns = [_turn(turn) for turn in ask.turns]
        return self._nodes.begin(op=op, client=self._script, model=model, ask={**asdict(ask), "turns": turns})

    def _one(self, op: str, model: str, ask: Ask) -> Any:
        return self._nodes.next(self._begin(op, model, ask))["answer"]


def _turn(turn: Turn) -> dict[str, Any]:
    return {"kind": type(turn).__name__, **_plain(asdict(turn))}


def _plain(value: Any) -> Any:
    """`value` for JSON: bytes in base64."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def _answer(found: dict[str, Any]) -> Answer:
    calls = tuple(Call(call["id"], call["name"], call["arguments"]) for call in found.pop("calls"))
    sources = tuple((url, title, text) for url, title, text in found.pop("sources", ()))
    return Answer(calls=calls, sources=sources, searches=tuple(found.pop("searches", ())), **found)
