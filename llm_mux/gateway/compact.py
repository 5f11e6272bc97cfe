"""`POST /v1/responses/compact` on every target: the conversation with a compaction trigger at its end, as an ordinary
exchange (routed, retried and booked like any other), its answer in the endpoint's own form."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from llm_mux.errors import MuxError, bad_request
from llm_mux.gateway.ask import Answer, Ask, Whole, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.exchange import Exchange
from llm_mux.translators.base import Hints, nonsense
from llm_mux.translators.openai_responses import store
from llm_mux.wire import jsonx

_TRIGGER = Raw(b'{"type":"compaction_trigger"}')


class _Finished(Struct):
    id: str = ""
    created_at: float = 0
    output: list[Raw] = []
    usage: Raw = Raw(b"null")


class _Item(Struct):
    type: str | None = None
    role: str | None = None


async def serve(gateway: Gateway, ask: Ask) -> Answer:
    """All user messages of the conversation and, after them, one sealed compaction item."""
    try:
        items = store.input_messages(jsonx.top(ask.body).get("input"))
        body = jsonx.splice(ask.body, {"input": msgspec.json.encode([*items, _TRIGGER])})
    except jsonx.Malformed as error:
        return _refused(bad_request(f"The request body is not a valid request: {error}"), ask)
    hints = Hints(model=ask.model, stream=False, headers=ask.headers)
    inner = msgspec.structs.replace(ask, body=body, hints=hints, outline=None, _request=None)
    answer = await Exchange(gateway, inner).serve()
    if not isinstance(answer, Whole) or answer.status != 200:
        return answer
    finished = jsonx.decode(answer.body, _Finished, strict=False)
    made = [item for item in finished.output if _kind(item).type == "compaction"]
    if not made:
        return _refused(nonsense("an answer without a compaction; try another model"), ask)
    kept = [item for item in items if _kind(item).role == "user"]
    compaction = {
        "id": finished.id,
        "object": "response.compaction",
        "created_at": int(finished.created_at),
        "output": [*kept, *made],
        "usage": finished.usage,
    }
    return replace(answer, body=msgspec.json.encode(compaction))


def _kind(item: Raw) -> _Item:
    return jsonx.decode(bytes(item), _Item, strict=False)


def _refused(error: MuxError, ask: Ask) -> Whole:
    return error_answer(error, ask.protocol, ask.request_id, {"X-Request-ID": ask.request_id})
