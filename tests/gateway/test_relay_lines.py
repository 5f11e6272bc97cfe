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
