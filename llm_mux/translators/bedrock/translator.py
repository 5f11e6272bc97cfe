"""The record of the translator `bedrock`: which function does what."""

from llm_mux.translators.base import Counter, Translator
from llm_mux.translators.bedrock.counting import decode_request
from llm_mux.translators.bedrock.embeddings import EMBEDDER
from llm_mux.translators.bedrock.encode import encode_count, encode_request
from llm_mux.translators.bedrock.errors import decode_error, encode_error, error_headers, error_status
from llm_mux.translators.bedrock.models import decode_models
from llm_mux.translators.bedrock.response import decode_count, decode_response, encode_response, summary
from llm_mux.translators.bedrock.response import encode_count as encode_count_answer
from llm_mux.translators.bedrock.splice import Head, adapt
from llm_mux.translators.bedrock.stream import stream_decoder
from llm_mux.translators.bedrock.stream_out import stream_encoder
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.translators.plain import Spelling
from llm_mux.wire import eventstream

TRANSLATOR = Translator(
    name=NAME,
    stream_type=eventstream.MEDIA_TYPE,
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
    embedder=EMBEDDER,
    counter=Counter(encode_count, decode_count, encode_count_answer),
    error_headers=error_headers,
    outline=Head,
    said=Spelling(
        user=b'{"role":"user","content":[{"text":%b}]}',
        assistant=b'{"role":"assistant","content":[{"text":%b}]}',
        system=b'{"text":%b}',
        system_last=True,
    ),
)
