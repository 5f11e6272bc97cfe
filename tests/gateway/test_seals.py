"""Reasoning and signatures that clients strip: kept in bounds, per tenant, put back where they were."""

import msgspec
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.gateway import seals as module
from llm_mux.gateway.seals import Seals, Watcher

SEAL = ir.Native("anthropic", Raw(b'{"signature":"sig-1"}'), "claude")
THOUGHT = ir.Reasoning("I should look.", native=SEAL)
CALL = ir.ToolCall("call_1", "look", '{"where":"here"}')
GEMINI_CALL = ir.ToolCall("call_2", "look", '{"where":"there"}', native=ir.Native("gemini", Raw(b'"thought-sig"')))


def request(*parts: ir.Part) -> ir.Request:
    return ir.Request("m", (ir.Message("user", (ir.Text("hi"),)), ir.Message("assistant", parts)))


def parts_of(request: ir.Request) -> tuple[ir.Part, ...]:
    return request.messages[1].parts


def kept(*parts: ir.Part, tenant: str = "local") -> Seals:
    seals = Seals()
    seals.keep(tenant, parts, now=0)
    return seals


def test_what_came_before_a_call_is_put_back_before_it() -> None:
    seals = kept(THOUGHT, ir.Text("Let me see."), CALL, GEMINI_CALL)
    restored = seals.restore("local", request(ir.Text("Let me see."), CALL, ir.ToolCall("call_2", "look", "{}")), now=1)
    assert parts_of(restored) == (
        ir.Text("Let me see."),
        THOUGHT,
        CALL,
        ir.ToolCall("call_2", "look", "{}", native=GEMINI_CALL.native),
    )
    assert restored.messages[0] == ir.Message("user", (ir.Text("hi"),))


def test_a_lost_id_is_found_by_name_and_arguments_however_they_are_spaced() -> None:
    seals = kept(THOUGHT, ir.ToolCall("call_1", "look", '{"a": 1, "b": [2]}'))
    for arguments in ('{"b":[2],"a":1}', '{ "a" : 1, "b" : [ 2 ] }'):
        again = ir.ToolCall("another-id", "look", arguments)
        assert parts_of(seals.restore("local", request(again), now=1)) == (THOUGHT, again)
    other = ir.ToolCall("another-id", "look", '{"a":2}')
    assert parts_of(seals.restore("local", request(other), now=1)) == (other,)


def test_what_the_client_kept_is_not_doubled() -> None:
    seals = kept(THOUGHT, CALL)
    assert parts_of(seals.restore("local", request(THOUGHT, CALL), now=1)) == (THOUGHT, CALL)
    bare = ir.Reasoning("I should look.")
    assert parts_of(seals.restore("local", request(bare, CALL), now=1)) == (THOUGHT, CALL)


def test_a_request_from_which_nothing_was_stripped_stays_the_one_it_is() -> None:
    seals = kept(THOUGHT, CALL)
    for asked in (request(ir.Text("no call")), request(ir.ToolCall("call_9", "other", "{}")), request(THOUGHT, CALL)):
        assert seals.restore("local", asked, now=1) is asked


@pytest.mark.covers("PF-135")
def test_tenants_never_see_each_others_seals() -> None:
    seals = kept(THOUGHT, CALL, tenant="one")
    assert parts_of(seals.restore("two", request(CALL), now=1)) == (CALL,)
    assert parts_of(seals.restore("one", request(CALL), now=1)) == (THOUGHT, CALL)


@pytest.mark.covers("PF-135")
def test_a_seal_is_forgotten_after_a_day() -> None:
    seals = kept(THOUGHT, CALL)
    assert parts_of(seals.restore("local", request(CALL), now=24 * 3600 - 1)) == (THOUGHT, CALL)
    assert parts_of(seals.restore("local", request(CALL), now=24 * 3600 + 1)) == (CALL,)


@pytest.mark.covers("PF-135")
def test_the_number_of_seals_is_bounded_and_the_oldest_go_first() -> None:
    seals = Seals()
    for number in range(10_000):
        seals.keep("local", (THOUGHT, ir.ToolCall(f"call_{number}", "look", f'{{"n":{number}}}')), now=0)
    first, last = (ir.ToolCall(f"call_{n}", "look", f'{{"n":{n}}}') for n in (0, 9_999))
    assert parts_of(seals.restore("local", request(first), now=1)) == (first,)
    assert parts_of(seals.restore("local", request(last), now=1)) == (THOUGHT, last)


@pytest.mark.covers("PF-135")
@pytest.mark.parametrize("where", ["reasoning", "seal", "call"])
def test_the_size_of_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1_000_000)
    big = Raw(msgspec.json.encode("x" * 100_000))
    native = ir.Native("gemini", big)
    seals = Seals()
    calls = []
    for number in range(100):
        call = ir.ToolCall(f"call_{number}", "f", f'{{"n":{number}}}', native=native if where == "call" else None)
        thought = ir.Reasoning(
            "x" * 100_000 if where == "reasoning" else "", native=native if where == "seal" else None
        )
        seals.keep("local", (thought, call) if where != "call" else (call,), now=0)
        calls.append(msgspec.structs.replace(call, native=None))
    found = [call for call in calls if parts_of(seals.restore("local", request(call), now=1)) != (call,)]
    assert found == calls[-len(found) :]
    assert 0 < len(found) <= 10


def test_a_stream_is_watched_to_the_same_end() -> None:
    seals = Seals()
    watcher = Watcher(seals, "local")
    events: list[ir.Event] = [
        ir.PartStart(0, ir.Reasoning("")),
        ir.ReasoningDelta(0, "I should "),
        ir.ReasoningDelta(0, "look."),
        ir.Seal(0, SEAL),
        ir.PartStart(1, ir.ToolCall("call_1", "look", "")),
        ir.ArgumentsDelta(1, '{"where":'),
        ir.ArgumentsDelta(1, '"here"}'),
        ir.PartEnd(1),
    ]
    for event in events:
        watcher.note(event)
    watcher.settle(now=0)
    assert parts_of(seals.restore("local", request(CALL), now=1)) == (THOUGHT, CALL)


def test_what_needs_nothing_is_not_kept() -> None:
    seals = kept(ir.Text("hello"), CALL)
    asked = request(CALL)
    assert seals.restore("local", asked, now=1) is asked
