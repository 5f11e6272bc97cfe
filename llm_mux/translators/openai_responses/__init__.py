"""OpenAI's Responses API, both directions: the format of Codex and of OpenAI's newest models.

Where to look: `decode.py` and `items.py` read a client's request, `encode.py` and `turns.py` write one; `tools.py` and
`parts.py` work both ways; `response.py` and `output.py` read an upstream's answer, `answer.py` builds a client's;
`stream_decode.py`, `stream_encode.py`; `reasoning.py` holds the seals; `store.py`, `compact.py`, `count.py` and
`websocket.py` serve the API's other endpoints. Spec: the Responses API page and the translation matrix.
"""

from llm_mux.translators.base import Translator
from llm_mux.translators.openai_responses.adapt import adapt
from llm_mux.translators.openai_responses.count import COUNTER
from llm_mux.translators.openai_responses.decode import decode_request
from llm_mux.translators.openai_responses.dull import judge
from llm_mux.translators.openai_responses.encode import encode_request
from llm_mux.translators.openai_responses.errors import decode_error, encode_error, error_status, told_in_stream
from llm_mux.translators.openai_responses.models import decode_models
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.response import decode_response, encode_response, summary
from llm_mux.translators.openai_responses.stream_decode import ResponsesStreamDecoder
from llm_mux.translators.openai_responses.stream_encode import ResponsesStreamEncoder

__all__ = ["TRANSLATOR", "Quirks"]

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
    told_in_stream=told_in_stream,
    counter=COUNTER,
)
