"""The record of the translator `openai_chat`: which function does what."""

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
    plain,
    response,
    steps,
    stream,
    wire,
)
from llm_mux.translators.plain import Spelling

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
    opens=dull.opens,
    outline=outline.Usual,
    end_mark=errors.DONE,
    plain=plain.plain,
    said=Spelling(
        user=b'{"role":"user","content":%b}',
        assistant=b'{"role":"assistant","content":%b}',
        system=b'{"role":"system","content":%b}',
    ),
    reads_steps=steps.read,
)
