"""Every recorded answer of every format, whole and streamed, is one that every SDK can read, with the words, the thoughts
and the calls that were recorded."""

import pytest

from llm_mux import ir
from tests.clients.conversation import WEATHER, Ask, User
from tests.clients.crossing import DIRECT, PYTHON, Mux, Play
from tests.clients.scenes import MEDIA
from tests.fake_upstream import Reply
from tests.translators.meanings import said
from tests.translators.transcripts import Transcript, transcripts

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

ASK = Ask((User("hello"),), tools=(WEATHER,), think=True)
RECORDED = transcripts("response", lambda transcript: transcript.case != "error")


def reply(transcript: Transcript, format_: str, mode: str) -> Reply:
    if mode == "whole":
        return Reply(transcript.body("response"))
    return Reply([transcript.body("stream")], content_type=MEDIA.get(format_, "text/event-stream"))


def of(format_: str, mode: str) -> list[Transcript]:
    stem = "stream" if mode == "stream" else "response"
    mine = (t for t in RECORDED if t.format == format_.replace("-", "_") and t.path(stem).exists())
    return [transcript for transcript in mine if not _odd(transcript)]


def _odd(transcript: Transcript) -> bool:
    """Calls that the test's clients did not offer a tool for, or that were cut off."""
    choice = transcript.response().choices[0]
    calls = [part for part in choice.parts if isinstance(part, ir.ToolCall)]
    return any(call.custom for call in calls) or (bool(calls) and choice.finish.reason == "length")


@pytest.mark.parametrize("driver", list(PYTHON), indirect=True)
def test_every_recorded_answer_is_read_by_every_sdk(play: Play, daemon_of_clients: Mux) -> None:
    daemon_of_clients.forget_failures()
    found = of(play.model.format, play.mode)
    assert len(found) > 10
    for transcript in found:
        play.played.answers(reply(transcript, play.model.format, play.mode))
        answer = play.ask(ASK)
        first = said(transcript.response())[0]
        assert first.text.strip() in answer.text, transcript
        assert first.reasoning in answer.reasoning or play.is_splice, transcript
        ours = [part for part in transcript.response().choices[0].parts if isinstance(part, ir.ToolCall)]
        assert [call.name for call in answer.calls] == [call.name for call in ours], transcript
