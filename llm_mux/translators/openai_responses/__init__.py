"""OpenAI's Responses API, both directions: the format of Codex and of OpenAI's newest models.

Where to look: `decode.py` and `items.py` read a client's request, `encode.py` and `turns.py` write one; `tools.py` and
`parts.py` work both ways; `response.py` and `output.py` read an upstream's answer, `answer.py` builds a client's;
`stream_decode.py`, `stream_encode.py`; `reasoning.py` holds the seals; `store.py`, `compact.py`, `count.py` and
`websocket.py` serve the API's other endpoints. Spec: the Responses API page and the translation matrix.
"""
