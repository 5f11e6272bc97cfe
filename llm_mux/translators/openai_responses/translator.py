"""The record of the translator `openai_responses`: which function does what."""

from llm_mux.translators.base import Translator
from llm_mux.translators.openai_responses.adapt import adapt
from llm_mux.translators.openai_responses.count import COUNTER
from llm_mux.translators.openai_responses.decode import decode_request
from llm_mux.translators.openai_responses.dull import judge
from llm_mux.translators.openai_responses.encode import encode_request
from llm_mux.translators.openai_responses.errors import decode_error, encode_error, error_status, told_in_stream
from llm_mux.translators.openai_responses.models import decode_models
from llm_mux.translators.openai_responses.outline import Head
from llm_mux.translators.openai_responses.response import decode_response, encode_response, summary
from llm_mux.translators.openai_responses.stream_decode import ResponsesStreamDecoder
from llm_mux.translators.openai_responses.stream_encode import ResponsesStreamEncoder
from llm_mux.translators.plain import Spelling

TRANSLATOR = Translator(
    name="openai_responses",
    stream_type="text/event-stream",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ResponsesStreamDecoder,
    stream_encoder=ResponsesStreamEncoder,
    decode_error=decode_error,
    encode_error=encode_error,
    error_status=error_status,
    adapt=adapt,
    summary=summary,
    decode_models=decode_models,
    dull=judge,
    outline=Head,
    told_in_stream=told_in_stream,
    counter=COUNTER,
    said=Spelling(
        user=b'{"type":"message","role":"user","content":[{"type":"input_text","text":%b}]}',
        assistant=b'{"type":"message","role":"assistant","content":[{"type":"output_text","text":%b}]}',
        system=b'"instructions":%b',
    ),
)
