"""OpenAI chat completions, as client protocol and as upstream. Spec: OpenAI API reference, "Chat Completions".

`decode` and `encode` are the request's two directions, `response` whole answers, `stream` a server's stream and
`chunks` a client's; `quirks` says how servers differ, `models` what OpenAI's families take. `completions` is the legacy
endpoint, `embeddings` the vectors.
"""

from llm_mux.translators.base import Translator
from llm_mux.translators.openai_chat import (
    adapt,
    chunks,
    decode,
    dull,
    embeddings,
    encode,
    errors,
    models,
    outline,
    response,
    stream,
    wire,
)
from llm_mux.translators.openai_chat.quirks import Quirks

TRANSLATOR = Translator(
    name=wire.NAME,
    stream_type="text/event-stream",
    decode_request=decode.decode_request,
    encode_request=encode.encode_request,
    decode_response=response.decode_response,
    encode_response=response.encode_response,
    stream_decoder=stream.Decoder,
    stream_encoder=chunks.Encoder,
    decode_error=errors.decode_error,
    encode_error=errors.encode_error,
    error_status=errors.error_status,
    adapt=adapt.adapt,
    summary=response.summary,
    decode_models=models.decode_models,
    embedder=embeddings.EMBEDDER,
    hides=adapt.hides,
    dull=dull.judge,
    outline=outline.Usual,
    end_mark=errors.DONE,
)

__all__ = ["TRANSLATOR", "Quirks"]
