"""The vendors' own web search, and answers that name their sources: asked for, shown, and sent back in the next turn."""

import json

import pytest

from tests.clients import cited
from tests.clients.conversation import PERSON, Ask, Source, User
from tests.clients.crossing import DIRECT, DRIVERS, Mode, Play
from tests.clients.played import MODELS, SEARCHING, Model
from tests.clients.scenes import Scene, said

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

CITING = [model for model in MODELS if model.format != "ollama"]
QUESTION = User("Is it cold in Oslo?")
LINKS = f"\n\nSources:\n- [{cited.TITLE}]({cited.URL})"
"""How a client without a place for sources is told of them."""


def linked(play: Play) -> bool:
    """Whether the client is told in words. The AI SDK reads no sources from chat completions."""
    return play.driver.protocol == "ollama" or (
        play.driver.protocol == "anthropic" and play.model.format != "anthropic"
    )


def sources(play: Play, driver: str) -> tuple[Source, ...]:
    """What the SDK should have read. The AI SDK does not say what words a source stands for; those of a Converse
    client are all of its block."""
    if linked(play) or not play.driver.abilities.sources:
        return ()
    words = cited.CITED
    if "ai-sdk" in driver:
        words = ""
    elif play.driver.protocol == "bedrock" and play.model.format in ("openai-chat", "openai-responses", "gemini"):
        words = cited.TEXT
    return ((cited.URL, cited.TITLE, words),)


TELLING = {"openai-responses": {"openai-responses", "anthropic"}, "anthropic": {"openai-responses", "anthropic"}}
"""Which upstreams' searches a client is shown; Gemini's come with the sources, to Gemini's own clients."""


def searches(play: Play, driver: str) -> tuple[str, ...]:
    own = play.driver.protocol == "gemini" and play.model.format == "gemini"
    told = own or play.model.format in TELLING.get(play.driver.protocol, ())
    return (cited.QUERY,) if told and "ai-sdk" not in driver else ()


@pytest.mark.covers("PF-113", "FB-39")
@pytest.mark.parametrize("name", list(DRIVERS))
@pytest.mark.parametrize("model", CITING, indirect=True, ids=lambda model: f"to-{model.format}")
def test_sources_and_searches_are_shown_and_go_back_without_harm(
    name: str, model: Model, mode: Mode, request: pytest.FixtureRequest
) -> None:
    play = Play(request.getfixturevalue("drivers")[name], model, mode, request.getfixturevalue("played_upstream"))
    play.played.answers(cited.reply(model.format, mode), said(model.format, Scene(text="Yes."), mode))
    answer = play.ask(Ask((QUESTION,)))
    assert answer.text == cited.TEXT + (LINKS if linked(play) else "")
    assert answer.sources == sources(play, name)
    assert answer.searches == searches(play, name)
    assert not answer.calls
    assert play.ask(Ask((QUESTION, answer, User("And in Rome?")))).text == "Yes."
    again = json.dumps(play.played.bodies()[-1], ensure_ascii=False)
    assert all(words in again for words in (cited.BEFORE.strip(), cited.CITED, "And in Rome?"))
    if not play.is_splice:
        assert not any(word in again for word in ("web_search", "srvtoolu", "ws_1", "groundingMetadata")), again


@pytest.mark.parametrize(
    "driver", [name for name, each in DRIVERS.items() if each.protocol in ("ollama", "anthropic")], indirect=True
)
@pytest.mark.parametrize("model", [CITING[0]], indirect=True, ids=["to-openai-chat"])
def test_no_links_stand_below_json_that_was_asked_for(play: Play) -> None:
    play.played.answers(cited.reply(play.model.format, play.mode))
    ask = Ask((QUESTION,), schema=PERSON)
    try:
        assert play.ask(ask).text == cited.TEXT
    except Exception as error:
        assert "AI_NoObject" in str(error) or "JSON" in str(error), error  # The AI SDK reads it at once.


FIELDS = {
    "openai-chat": '"web_search_options"',
    "openai-responses": '"type": "web_search"',
    "anthropic": '"web_search_20250305"',
    "gemini": '"googleSearch"',
}


@pytest.mark.covers("FB-38")
@pytest.mark.parametrize("driver", [name for name, each in DRIVERS.items() if each.abilities.search], indirect=True)
@pytest.mark.parametrize("model", [*MODELS, SEARCHING], indirect=True, ids=lambda model: f"to-{model.alias}")
def test_a_search_is_asked_of_who_can_search_and_refused_elsewhere(play: Play) -> None:
    model = play.model
    play.says(Scene(text="Yes."))
    if (model == SEARCHING or model.format in ("openai-responses", "anthropic", "gemini")) or play.is_splice:
        assert play.ask(Ask((QUESTION,), search=True)).text == "Yes."
        assert FIELDS[model.format] in json.dumps(play.played.bodies()[-1])
        return
    with pytest.raises(Exception, match="search") as refused:
        play.ask(Ask((QUESTION,), search=True))
    assert play.driver.status_of(refused.value) == 400
    assert not play.played.bodies()
