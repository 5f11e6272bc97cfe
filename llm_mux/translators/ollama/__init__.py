"""Ollama's native API, as client protocol and as upstream: chat, generate, embed. Spec: https://docs.ollama.com/api

`decode` and `encode` are the request's two directions (`turns` writes the conversation), `response` whole answers,
`stream` a server's stream and `lines` a client's; `adapt` says when bytes may go through, `embeddings` the vectors.
"""

from llm_mux.translators.base import Translator
from llm_mux.translators.ollama import (
    adapt,
    decode,
    dull,
    embeddings,
    encode,
    errors,
    lines,
    models,
    response,
    stream,
    wire,
)
from llm_mux.translators.ollama.quirks import Quirks

TRANSLATOR = Translator(
    name=wire.NAME,
    stream_type="application/x-ndjson",
    decode_request=decode.decode_request,
    encode_request=encode.encode_request,
    decode_response=response.decode_response,
    encode_response=response.encode_response,
    stream_decoder=stream.Decoder,
    stream_encoder=lines.Encoder,
    decode_error=errors.decode_error,
    encode_error=errors.encode_error,
    error_status=errors.error_status,
    adapt=adapt.adapt,
    summary=response.summary,
    decode_models=models.decode_models,
    embedder=embeddings.EMBEDDER,
    dull=dull.judge,
)

__all__ = ["TRANSLATOR", "Quirks"]
