"""The record of the translator `gemini`: which function does what."""

from llm_mux.translators.base import Translator
from llm_mux.translators.gemini.counting import COUNTER
from llm_mux.translators.gemini.decode import decode_request
from llm_mux.translators.gemini.dull import judge
from llm_mux.translators.gemini.embeddings import EMBEDDER
from llm_mux.translators.gemini.encode import encode_request
from llm_mux.translators.gemini.errors import decode_error, encode_error, error_status
from llm_mux.translators.gemini.models import decode_models
from llm_mux.translators.gemini.response import decode_response, encode_response, summary
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.translators.gemini.splice import adapt
from llm_mux.translators.gemini.stream import stream_decoder
from llm_mux.translators.gemini.stream_out import stream_encoder
from llm_mux.translators.plain import Spelling

TRANSLATOR = Translator(
    name=OWNER,
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
    embedder=EMBEDDER,
    counter=COUNTER,
    said=Spelling(
        user=b'{"parts":[{"text":%b}],"role":"user"}',
        assistant=b'{"parts":[{"text":%b}],"role":"model"}',
        system=b'{"parts":[{"text":%b}]}',
        system_last=True,
    ),
)
