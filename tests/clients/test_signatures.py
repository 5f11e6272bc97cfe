"""Sealed reasoning over several turns: each vendor gets its own back where it belongs, through every client, and no other."""

import base64
import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.clients.conversation import WEATHER, Ask, Driver, Result, Results, Turn, User
from tests.clients.crossing import DIRECT, DRIVERS, Mode, Play, all_drivers, config
from tests.clients.javascript import NodeClients
from tests.clients.played import MODELS, Model, Played
from tests.clients.scenes import Scene
from tests.daemon import process_daemon
from tests.upstreams.aimock import AiMock

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="it is the daemon that keeps them")]

CITIES = ("Oslo", "Rome")
QUESTION = User("Is it warmer in Oslo or in Rome?")
SEALED = [model for model in MODELS if model.format != "ollama"]
"""Ollama's models seal nothing."""


def seal_of(model: Model, city: str) -> str:
    """A seal that reads the same in both alphabets of base64, and that nobody else has."""
    return base64.b64encode(f"sealed {model.format} {city}".ljust(33).encode()).decode()


def scenes(model: Model) -> list[Scene]:
    """Two thoughts that each end in a call, then an answer."""
    thinking = [
        Scene(f"I need {city}.", seal_of(model, city), call=f"call_{city}", arguments={"city": city}) for city in CITIES
    ]
    return [*thinking, Scene(text="Rome.")]


def talked(play: Play, *, keeps: bool) -> list[Turn]:
    """The conversation up to the results of the second call. A client that keeps nothing sends text and calls alone."""
    play.says(*scenes(play.model))
    turns: list[Turn] = [QUESTION]
    for city in CITIES:
        answer = play.ask(Ask(tuple(turns), tools=(WEATHER,), think=True))
        assert [call.arguments for call in answer.calls] == [{"city": city}]
        assert answer.reasoning == f"I need {city}."
        turns.append(answer if keeps else replace(answer, native=None))
        turns.append(Results((Result(answer.calls[0], f"{city} is fine"),)))
    return turns


def sealed(format_: str, body: Any) -> list[tuple[str | None, str]]:
    """Of each call in a request that an upstream got: the seal that goes with it, and the city."""
    match format_:
        case "openai-chat":
            made = [message for message in body["messages"] if message.get("tool_calls")]
            return [
                ((message.get("reasoning_details") or [{}])[-1].get("signature"), _city(call["function"]["arguments"]))
                for message in made
                for call in message["tool_calls"]
            ]
        case "openai-responses":
            pairs = [(item.get("encrypted_content"), item.get("arguments")) for item in body["input"]]
        case "anthropic":
            blocks = [b for m in body["messages"] for b in m["content"] if m["role"] == "assistant"]
            pairs = [(block.get("signature"), block.get("input")) for block in blocks]
        case "gemini":
            parts = [part for content in body["contents"] for part in content["parts"] if "functionCall" in part]
            return [(part.get("thoughtSignature"), part["functionCall"]["args"]["city"]) for part in parts]
        case _:
            blocks = [b for m in body["messages"] for b in m["content"] if m["role"] == "assistant"]
            pairs = [
                (
                    b.get("reasoningContent", {}).get("reasoningText", {}).get("signature"),
                    b.get("toolUse", {}).get("input"),
                )
                for b in blocks
            ]
    return list(_paired(pairs))


def _city(arguments: Any) -> str:
    return str((json.loads(arguments) if isinstance(arguments, str) else arguments)["city"])


def _paired(pairs: list[tuple[str | None, Any]]) -> Iterator[tuple[str | None, str]]:
    """A seal stands before its call."""
    seal = None
    for found, arguments in pairs:
        seal = found or seal
        if arguments is not None:
            yield seal, _city(arguments)
            seal = None


def no_envelope(body: Any) -> bool:
    """Whether nothing of the daemon's own wrapping went upstream."""
    text = json.dumps(body)
    return "gw1" not in text and base64.b64encode(b"gw1").decode() not in text


stateful = pytest.mark.parametrize("keeps", [True, False], ids=["kept", "stripped"])
sealing = pytest.mark.parametrize("model", SEALED, indirect=True, ids=lambda model: f"to-{model.format}")
streams = pytest.mark.parametrize("mode", ["stream"], indirect=True)


def _check(play: Play, turns: list[Turn]) -> None:
    assert play.ask(Ask(tuple(turns), tools=(WEATHER,), think=True)).text == "Rome."
    body = play.played.bodies()[-1]
    assert sealed(play.model.format, body) == [(seal_of(play.model, city), city) for city in CITIES]
    assert no_envelope(body)


@sealing
@stateful
def test_seals_go_back_to_their_vendor_over_several_turns(play: Play, keeps: bool) -> None:
    turns = talked(play, keeps=keeps)
    if keeps or not play.is_splice:
        _check(play, turns)
        return
    play.ask(Ask(tuple(turns), tools=(WEATHER,), think=True))
    ours = sealed(play.model.format, play.played.bodies()[-1])
    as_it_came, restored = [(None, city) for city in CITIES], [(seal_of(play.model, city), city) for city in CITIES]
    assert ours in (as_it_came, restored), "what a client tells its own vendor goes through if it can"


@sealing
@streams
def test_no_seal_reaches_another_vendor(play: Play) -> None:
    turns = talked(play, keeps=True)
    for other in MODELS:
        if other == play.model or {other.format, play.model.format} == {"anthropic", "bedrock"}:
            continue  # Those two serve the same models, whose seals are theirs at both.
        play.played.says(other, play.mode, Scene(text="Rome."))
        assert play.ask(Ask(tuple(turns), tools=(WEATHER,), think=True), other).text == "Rome."
        body = play.played.bodies()[-1]
        for city in CITIES:
            assert seal_of(play.model, city) not in json.dumps(body), other.format
            assert city in json.dumps(body)
        assert no_envelope(body), other.format


@pytest.fixture(scope="module")
def elsewhere(
    mock: AiMock, played_upstream: Played, node_tools: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Driver]]:
    """The same clients at another daemon, which remembers nothing of what the first one saw."""
    with (
        process_daemon(tmp_path_factory.mktemp("elsewhere"), config(mock, played_upstream)) as daemon,
        contextlib.closing(NodeClients(daemon.url, node_tools, tmp_path_factory.mktemp("node-elsewhere"))) as nodes,
        all_drivers(daemon.url, nodes) as made,
    ):
        yield made


def keeps(name: str, model: Model) -> bool:
    """Whether the SDK has a place for this model's seal: Ollama's have none, the AI SDK's for chat has Gemini's."""
    return DRIVERS[name].protocol != "ollama" and (name != "js-ai-sdk-openai-compatible" or model.format == "gemini")


KEEPING = [(name, model) for name in DRIVERS for model in SEALED if keeps(name, model)]


@pytest.mark.parametrize(("name", "model"), KEEPING, indirect=["model"], ids=lambda each: getattr(each, "alias", None))
def test_what_a_client_keeps_needs_no_memory_of_the_daemon(
    name: str,
    model: Model,
    mode: Mode,
    drivers: Mapping[str, Driver],
    elsewhere: Mapping[str, Driver],
    played_upstream: Played,
) -> None:
    play = Play(drivers[name], model, mode, played_upstream)
    turns = talked(play, keeps=True)
    _check(replace(play, driver=elsewhere[name]), turns)
