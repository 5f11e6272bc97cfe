"""The short look at a conversation that is in order gives what the long way gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import history

ids = st.sampled_from(["a", "b", "c"])
texts = st.builds(ir.Text, st.sampled_from(["hi", "", " ", "\n x"]))
calls = st.builds(ir.ToolCall, ids, st.sampled_from(["f", "g"]), st.just("{}"), custom=st.booleans())
results = st.builds(ir.ToolResult, ids, st.just((ir.Text("ok"),)), name=st.sampled_from([None, "f"]))
thoughts = st.builds(ir.Reasoning, st.just("hm"))
natives = st.sampled_from([None, ir.Native("openai_chat", Raw(b"{}"))])


def of(role: ir.Role, parts: st.SearchStrategy[ir.Part], most: int = 3) -> st.SearchStrategy[ir.Message]:
    several = st.lists(parts, max_size=most).map(tuple)
    return st.builds(ir.Message, st.just(role), several, st.sampled_from([None, None, "ada"]), native=natives)


messages = st.lists(
    of("assistant", texts | calls | thoughts) | of("user", texts | results) | of("user", results, 1) | of("system", texts, 1),
    max_size=8,
)  # fmt: skip


@given(messages, st.booleans())
def test_both_ways_give_the_same(conversation: list[ir.Message], complete: bool) -> None:
    assert history.tidy(conversation, complete=complete) == history.repaired(conversation, complete=complete)


@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_turn_leaves_nothing_to_the_one_beside_it(empty_first: bool) -> None:
    empty = ir.Message("user", (), "ada", native=ir.Native("openai_chat", Raw(b"{}")))
    said = ir.Message("user", (ir.Text("hi"),), "ada")
    assert history.tidy([empty, said] if empty_first else [said, empty]) == (said,)


@given(st.data())
def test_both_ways_give_the_same_of_conversations_in_order(data: st.DataObject) -> None:
    conversation: list[ir.Message] = [ir.Message("system", (ir.Text("rules"),))]
    for number in range(data.draw(st.integers(1, 4))):
        conversation.append(ir.Message("user", (ir.Text("do"),)))
        made = [ir.ToolCall(f"{number}-{n}", "f", "{}") for n in range(data.draw(st.integers(0, 3)))]
        conversation.append(ir.Message("assistant", (ir.Text("so"), *made)))
        answers = [ir.ToolResult(call.id, (ir.Text("ok"),)) for call in made]
        if data.draw(st.booleans()):
            conversation += [ir.Message("user", (answer,)) for answer in answers]
        elif answers:
            conversation.append(ir.Message("user", tuple(answers)))
        if answers and data.draw(st.booleans()):
            conversation.append(ir.Message("assistant", (ir.Text("done"),)))
    found = history.tidy(conversation)
    assert found == history.repaired(conversation)
    assert msgspec.json.encode(found) == msgspec.json.encode(history.repaired(conversation))
