"""The record of the translator `anthropic`: which function does what."""

from llm_mux.translators.anthropic.decode import decode_request
from llm_mux.translators.anthropic.dull import judge
from llm_mux.translators.anthropic.encode import encode_count, encode_request
from llm_mux.translators.anthropic.errors import decode_error, encode_error, error_status
from llm_mux.translators.anthropic.models import decode_models
from llm_mux.translators.anthropic.outline import Usual
from llm_mux.translators.anthropic.plain import plain
from llm_mux.translators.anthropic.response import (
    decode_count,
    decode_response,
    encode_response,
    summary,
)
from llm_mux.translators.anthropic.response import (
    encode_count as encode_count_answer,
)
from llm_mux.translators.anthropic.splice import adapt
from llm_mux.translators.anthropic.stream import stream_decoder
from llm_mux.translators.anthropic.stream_out import stream_encoder
from llm_mux.translators.base import Counter, Translator
from llm_mux.translators.plain import Spelling
from llm_mux.translators.steps import Telling

TRANSLATOR = Translator(
    name="anthropic",
    stream_type="text/event-stream",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=stream_decoder,
    stream_encoder=stream_encoder,
    decode_error=decode_error,
    encode_error=encode_error,
    error_status=error_status,
    adapt=adapt,
    summary=summary,
    decode_models=decode_models,
    dull=judge,
    outline=Usual,
    plain=plain,
    said=Spelling(
        user=b'{"role":"user","content":[{"type":"text","text":%b}]}',
        assistant=b'{"role":"assistant","content":[{"type":"text","text":%b}]}',
        system=b'{"type":"text","text":%b}',
    ),
    tells_steps=Telling(
        system=b'{"type":"text","text":%b}',
        user=b'{"role":"user","content":[',
        assistant=b'{"role":"assistant","content":[',
        end=b"]}",
        text=b'{"type":"text","text":%b}',
        call=b'{"type":"tool_use","id":"%b","name":"%b","input":%b}',
        result=b'{"type":"tool_result","tool_use_id":"%b","content":%b}',
        nothing=b'{"type":"tool_result","tool_use_id":"%b"}',
    ),
    counter=Counter(encode_count, decode_count, encode_count_answer),
)
