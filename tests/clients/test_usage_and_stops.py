"""What every SDK is told of an answer beside its content: the tokens, with those that were cached or spent on thinking, and
why it ended."""

import pytest

from tests.clients.conversation import Ask, User
from tests.clients.crossing import DIRECT, DRIVERS, Play
from tests.clients.played import MODELS
from tests.clients.scenes import CACHED, OUTPUT, PROMPT, REASONING, STOP_STRING, STOPS, Scene

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

ASK = Ask((User("hello"),), think=True)
WITHOUT_CACHE = {"ollama"}
WITHOUT_REASONING = {"ollama", "bedrock"}
"""Formats that do not tell these tokens apart."""


def test_tokens_add_up_with_those_cached_and_those_thought(play: Play) -> None:
    play.says(Scene("Hm.", "c2VhbGVk", "Hello there."))
    answer = play.ask(ASK)
    assert (answer.text, answer.reasoning) == ("Hello there.", "Hm.")
    assert (answer.prompt_tokens, answer.output_tokens) == (PROMPT, OUTPUT)
    if play.driver.abilities.cached and play.model.format not in WITHOUT_CACHE:
        assert answer.cached_tokens == CACHED
    if play.driver.abilities.reasoned and play.model.format not in WITHOUT_REASONING:
        assert answer.reasoning_tokens == REASONING


@pytest.mark.parametrize("stop", ["length", "filtered"])
@pytest.mark.parametrize(
    "model", [m for m in MODELS if "filtered" in STOPS[m.format]], indirect=True, ids=lambda model: f"to-{model.format}"
)
def test_an_answer_that_ended_early_says_why(play: Play, stop: str) -> None:
    play.says(Scene(text="I would", stop=stop))
    answer = play.ask(ASK)
    assert answer.text.startswith("I would")
    refused = stop == "filtered" and play.model.format == "anthropic"
    if refused and play.driver.protocol == "openai-responses":
        # The model's own refusal is an answer there; Codex would ask for ever again if it were incomplete.
        assert answer.stop == play.driver.words.done
    else:
        assert answer.stop == getattr(play.driver.words, stop)


def test_a_call_behind_words_and_thoughts_is_a_call(play: Play) -> None:
    play.says(Scene("Hm.", "c2VhbGVk", "Let me see.", "call_1", {"city": "Oslo"}))
    answer = play.ask(ASK)
    assert (answer.reasoning, answer.text) == ("Hm.", "Let me see.")
    assert [call.arguments for call in answer.calls] == [{"city": "Oslo"}]
    assert answer.stop == play.driver.words.tool


@pytest.mark.parametrize("driver", [name for name, each in DRIVERS.items() if each.abilities.stop], indirect=True)
def test_a_stop_string_ends_the_answer_whoever_holds_it(play: Play) -> None:
    """The daemon cuts where the model does not take the string."""
    play.says(Scene(text="one ", stop="stopped"))
    play.ask(Ask((User("count"),), stop=(STOP_STRING,)))
    told = STOP_STRING in str(play.played.bodies()[-1])
    play.says(Scene(text="one ", stop="stopped") if told else Scene(text=f"one {STOP_STRING} two"))
    answer = play.ask(Ask((User("count"),), stop=(STOP_STRING,)))
    assert answer.text.rstrip() == "one"
    if play.driver.words.stopped != "stop_sequence" or "stopped" in STOPS[play.model.format] or not told:
        assert answer.stop == play.driver.words.stopped
    else:
        assert answer.stop == play.driver.words.done, "the model does not say that it was the string"
