"""The small changes to a spliced stream of JSON lines."""

import pytest

from llm_mux.gateway.relay import Edit
from llm_mux.translators import registry

STREAM = (
    b'{"model":"served","message":{"content":"x\xe2\x80\xa8y"},"done":false}\n'
    b'{"model":"served","message":{"content":"\\"model\\":\\"served\\""},"done":false}\n'
    b'{"model":"served","done":true}\n'
)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_renamed_model_leaves_every_line_its_end(size: int) -> None:
    edit = Edit(registry.get("ollama"), hide_usage=False, names=(b'"served"', b'"asked"'))
    out = b"".join([edit.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)]) + edit.finish()
    assert out == STREAM.replace(b'"model":"served"', b'"model":"asked"')


def record(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
END = b"data: [DONE]\n\n"


@pytest.mark.parametrize("size", [1, 7, 60, 200, 1000])
@pytest.mark.parametrize("said", ["word", 'the \\"usage\\"', "\\ud83d"])
def test_a_usage_record_that_nobody_asked_for_is_left_out_however_the_stream_is_cut(size: int, said: str) -> None:
    before, after = record(said) + record("more"), record("late") + END
    stream = before + COUNTED + after
    edit = Edit(registry.get("openai_chat"), hide_usage=True, names=None)
    out = b"".join(edit.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + edit.finish()
    assert out == before + after
