"""Short names for the calls that the Gemini tests share."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llm_mux import ir
from llm_mux.translators.base import Encoded, Hints, Target
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.translators.gemini.translator import TRANSLATOR

TRANSCRIPTS = pathlib.Path(__file__).parents[2] / "transcripts" / "gemini"
CASES = sorted(path.name for path in TRANSCRIPTS.iterdir())
NEW = "gemini-3-flash-preview"
OLD = "gemini-2.5-flash"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEklEQVR4nGP4z8DAAMIM/4EAAB/uBfsL2WiLAAAAAElFTkSuQmCC"


def target(model: str = NEW, quirks: Quirks | None = None, **more: Any) -> Target:
    return Target(model, "gemini", quirks, **more)


def decoded(body: object, model: str = NEW, **hints: Any) -> ir.Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return TRANSLATOR.decode_request(data, Hints(model=model, **hints))


def conversation(*contents: object, **more: object) -> ir.Request:
    return decoded({"contents": list(contents), **more})


def user(*parts: object) -> dict[str, object]:
    return {"role": "user", "parts": [_part(part) for part in parts]}


def model(*parts: object) -> dict[str, object]:
    return {"role": "model", "parts": [_part(part) for part in parts]}


def _part(part: object) -> object:
    return {"text": part} if isinstance(part, str) else part


def asked(*messages: ir.Message, **more: Any) -> ir.Request:
    """A request of a client of another format."""
    more.setdefault("protocol", "openai_chat")
    return ir.Request("m", messages, **more)


def said(*parts: ir.Part | str) -> ir.Message:
    return ir.Message("user", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def answered(*parts: ir.Part | str) -> ir.Message:
    return ir.Message("assistant", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def sent(request: ir.Request, model: str = NEW, quirks: Quirks | None = None, **more: Any) -> dict[str, Any]:
    """The body for an upstream, as Python objects."""
    return json.loads(encoded(request, model, quirks, **more).body)


def encoded(request: ir.Request, model: str = NEW, quirks: Quirks | None = None, **more: Any) -> Encoded:
    return TRANSLATOR.encode_request(request, target(model, quirks, **more))


def record(*parts: object, finish: str | None = None, index: int | None = 0, **more: object) -> dict[str, Any]:
    """One record of a stream, or a whole answer."""
    candidate: dict[str, object] = {"content": {"parts": [_part(part) for part in parts], "role": "model"}}
    if index is not None:
        candidate["index"] = index
    if finish is not None:
        candidate["finishReason"] = finish
    candidate.update(more.pop("candidate", {}))  # type: ignore[call-overload]
    return {"candidates": [candidate], "modelVersion": NEW, "responseId": "r1", **more}


def sse(*records: object) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in records)


def streamed(data: bytes, model: str = NEW) -> list[ir.Event]:
    decoder = TRANSLATOR.stream_decoder(target(model))
    return decoder.feed(data) + decoder.finish()


def whole(body: object, model: str = NEW) -> ir.Response:
    return TRANSLATOR.decode_response(json.dumps(body).encode(), target(model))


def shown(events: Sequence[ir.Event], request: ir.Request | None = None) -> bytes:
    """The events as a client's stream."""
    return TRANSLATOR.stream_encoder(request or asked()).encode(events)


def records_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n\n") if line]


def plain(value: object) -> Any:
    """Structs, and the JSON in them, as Python objects that compare."""
    match value:
        case msgspec.Raw():
            return json.loads(bytes(value))
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__} | {"": type(value).__name__}
        case tuple() | list():
            return [plain(item) for item in value]
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def parts_of(body: Mapping[str, Any], at: int) -> list[dict[str, Any]]:
    return body["contents"][at]["parts"]
