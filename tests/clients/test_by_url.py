"""Files that a request names by URL, and videos: told on as they are, fetched for a model that takes only bytes, or
refused with the reason."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.clients.conversation import WEATHER, Ask, Link, Result, Results, User
from tests.clients.crossing import DIRECT, DRIVERS, Play
from tests.clients.played import MODELS, OLDER, SAMPLED, Model, Played, played
from tests.clients.scenes import Scene
from tests.fake_upstream import Reply

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

FILES = {
    "image/png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    ),
    "application/pdf": b"%PDF-1.4 a page",
    "audio/wav": b"RIFF$\x00\x00\x00WAVEfmt ",
    "video/mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
}
NAMES = {"image/png": "a.png", "application/pdf": "a.pdf", "audio/wav": "a.wav", "video/mp4": "a.mp4"}
HELLO = Scene(text="Hello.")
SEEN = "I see it."


@pytest.fixture(scope="module")
def shelf() -> Iterator[Played]:
    """Where the files are."""
    with played() as running:
        for kind, body in FILES.items():
            running.upstream.on(f"/{NAMES[kind]}", Reply(body, content_type=kind))
        yield running


def link(shelf: Played, kind: str) -> Link:
    return Link(kind, f"{shelf.upstream.url}/{NAMES[kind]}")


def outcome(play: Play, ask: Ask, found: Link) -> str:
    """What became of it: `told` by its URL, `fetched`, or why it was refused, in small letters."""
    play.says(Scene(text=SEEN))
    try:
        assert play.ask(ask).text == SEEN
    except AssertionError:
        raise
    except Exception as error:
        assert play.driver.status_of(error) == 400, error
        assert not play.played.bodies()
        return str(error).lower()
    sent = json.dumps(play.played.bodies()[-1])
    bytes_too = base64.b64encode(FILES[found.media_type]).decode().rstrip("=") in sent
    assert (found.url in sent) is not bytes_too, sent
    return "fetched" if bytes_too else "told"


TELLS = "told"
FETCHES = "fetched"
OUTCOMES = {
    "image/png": {"ollama": FETCHES, "bedrock": FETCHES},
    "application/pdf": {"openai-chat": FETCHES, "ollama": "document", "bedrock": FETCHES},
    "audio/wav": {
        "openai-chat": FETCHES,
        "openai-responses": "audio",
        "anthropic": "audio",
        "ollama": FETCHES,
        "bedrock": FETCHES,
    },
    "video/mp4": {"openai-responses": "video", "anthropic": "video", "ollama": "video", "bedrock": FETCHES},
}
"""What becomes of a file by URL where it is not told on as it is; other words are of the refusal."""

LINKING = [(name, kind) for name, each in DRIVERS.items() for kind in each.abilities.links]
linking = pytest.mark.parametrize(("driver", "kind"), LINKING, indirect=["driver"])


@linking
def test_a_file_by_url_is_told_on_fetched_or_refused(play: Play, shelf: Played, kind: str) -> None:
    found = link(shelf, kind)
    expected = OUTCOMES[kind].get(play.model.format, TELLS)
    assert expected in outcome(play, Ask((User("What is it?", link=found),)), found)


@linking
@pytest.mark.parametrize("model", [OLDER], indirect=True, ids=["to-older-gemini"])
def test_a_model_of_gemini_that_takes_no_urls_gets_the_bytes(play: Play, shelf: Played, kind: str) -> None:
    found = link(shelf, kind)
    expected = TELLS if play.is_splice else FETCHES
    assert outcome(play, Ask((User("What is it?", link=found),)), found) == expected


SHOWING = [name for name, each in DRIVERS.items() if each.abilities.links and each.abilities.result_images]


@pytest.mark.parametrize("driver", [name for name in SHOWING if "ai-sdk" not in name], indirect=True)
def test_a_picture_by_url_in_a_tools_result_is_told_on_or_fetched(play: Play, shelf: Played) -> None:
    play.says(Scene(call="call_1", arguments={"city": "Oslo"}))
    question, found = User("Show me Oslo."), link(shelf, "image/png")
    answer = play.ask(Ask((question,), tools=(WEATHER,)))
    results = Results((Result(answer.calls[0], "a picture", link=found),))
    expected = OUTCOMES["image/png"].get(play.model.format, TELLS)
    assert outcome(play, Ask((question, answer, results), tools=(WEATHER,)), found) == expected


BYTES_ONLY = [model for model in MODELS if model.format in ("ollama", "bedrock")]
WRONG = {
    "a page": (Reply(b"<html>", content_type="text/html"), "text/html"),
    "gone": (Reply(b"", 404), "status 404"),
    "nothing": (Reply(b"", content_type="image/png"), "empty"),
}


@pytest.mark.parametrize("driver", [name for name, each in DRIVERS.items() if each.abilities.links], indirect=True)
@pytest.mark.parametrize("model", BYTES_ONLY, indirect=True, ids=lambda model: f"to-{model.format}")
def test_what_cannot_be_fetched_is_refused_with_the_reason(play: Play, shelf: Played) -> None:
    for name, (reply, words) in WRONG.items():
        shelf.upstream.on("/wrong", reply)
        found = Link("image/png", f"{shelf.upstream.url}/wrong")
        assert words in outcome(play, Ask((User("What is it?", link=found),)), found), name
    hidden = Link("image/png", f"{shelf.upstream.url.replace('127.0.0.1', 'localhost')}/a.png")
    assert "only https" in outcome(play, Ask((User("What is it?", link=hidden),)), hidden)


FILMING = {"openai-chat", "gemini", "bedrock"}


@pytest.mark.parametrize("driver", [name for name, each in DRIVERS.items() if each.abilities.video], indirect=True)
@pytest.mark.parametrize("model", [*MODELS, SAMPLED], indirect=True, ids=lambda model: f"to-{model.alias}")
def test_a_video_arrives_or_is_refused(play: Play, model: Model) -> None:
    film = FILES["video/mp4"]
    play.says(HELLO)
    ask = Ask((User("What happens here?", video=film),))
    if model.format not in FILMING or model == SAMPLED:
        with pytest.raises(Exception, match=r"[Vv]ideo") as refused:
            play.ask(ask)
        assert play.driver.status_of(refused.value) == 400
        assert not play.played.bodies()
        return
    assert play.ask(ask).text == "Hello."
    sent = json.dumps(play.played.bodies()[-1]).replace("-", "+").replace("_", "/")
    assert base64.b64encode(film).decode() in sent
