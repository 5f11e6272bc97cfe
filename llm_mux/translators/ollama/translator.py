"""The record of the translator `ollama`: which function does what."""

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
from llm_mux.translators.plain import Spelling

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
    said=Spelling(
        user=b'{"role":"user","content":%b}',
        assistant=b'{"role":"assistant","content":%b}',
        system=b'{"role":"system","content":%b}',
    ),
)
