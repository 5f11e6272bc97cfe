"""Wishes that change an answer's shape: several choices, log probabilities, sound. An upstream gives them or the client is
refused; nobody gets something else without a word."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.clients.crossing import DIRECT, Mode
from tests.clients.javascript import SdkError
from tests.clients.played import MODELS, SAMPLED, Model, Played
from tests.clients.raw_sdks import Sdk
from tests.clients.scenes import Scene, records, streamed, whole
from tests.fake_upstream import Reply

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

Clients = Mapping[str, Any]
TOKEN, LOGPROB, OTHER = "Hello", -0.25, "Hi"
WORDS = Scene(text="Hello")
WAV = b"RIFF$\x00\x00\x00WAVEfmt "


REFUSALS = (openai.BadRequestError, errors.ClientError, ollama.ResponseError, SdkError)


@pytest.fixture(scope="module", params=["python", "javascript"])
def clients(request: pytest.FixtureRequest, mux: str) -> Iterator[Clients]:
    if request.param == "javascript":
        nodes = request.getfixturevalue("nodes")
        yield {"openai": Sdk(nodes, "openai"), "gemini": Sdk(nodes, "google"), "ollama": Sdk(nodes, "ollama")}
        return
    made = {
        "openai": openai.OpenAI(base_url=f"{mux}/v1", api_key="test", max_retries=0, timeout=30),
        "gemini": genai.Client(api_key="test", http_options=types.HttpOptions(base_url=mux, timeout=30_000)),
        "ollama": ollama.Client(host=mux, timeout=30),
    }
    yield made
    for client in made.values():
        client.close()


def chat(clients: Clients, model: str, mode: Mode, **wishes: Any) -> list[Any]:
    """The answer, or its chunks."""
    messages: Any = [{"role": "user", "content": wishes.pop("content", "hello")}]
    asked = {"model": model, "messages": messages, **wishes}
    create = clients["openai"].chat.completions.create
    return list(create(**asked, stream=True)) if mode == "stream" else [create(**asked)]


def generate(clients: Clients, model: str, mode: Mode, **wishes: Any) -> list[Any]:
    models, contents = clients["gemini"].models, wishes.pop("contents", "hello")
    asked: Any = {"model": model, "contents": contents, "config": types.GenerateContentConfig(**wishes)}
    if isinstance(models, Sdk):
        asked = {name: _plain(value) for name, value in asked.items()}
    return list(models.generate_content_stream(**asked)) if mode == "stream" else [models.generate_content(**asked)]


def _plain(value: Any) -> Any:
    """What the Python SDK has types for, as the JavaScript one takes it."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.model_dump(by_alias=True, exclude_none=True, mode="json") if hasattr(value, "model_dump") else value


def altered(model: Model, mode: Mode, change: Any) -> Reply:
    """The upstream's answer `Hello` with `change(record)` made to it; of a stream, to every record but marks."""
    if mode == "whole":
        body = json.loads(bytes(whole(model.format, WORDS).body))  # type: ignore[arg-type]
        return Reply(json.dumps(change(body)).encode())
    return streamed(model.format, [_record(record, change) for record in records(model.format, WORDS)])


def _record(record: bytes, change: Any) -> bytes:
    if not record.endswith(b"\n"):
        return record  # a frame of Bedrock, which has none of these
    head, mark, data = record.rpartition(b"data: ")
    if data.startswith(b"[DONE]"):
        return record
    return head + mark + json.dumps(change(json.loads(data))).encode() + (b"\n\n" if mark else b"\n")


# Several choices.


def doubled(record: Any) -> Any:
    """A second choice beside each first one."""
    for name in ("choices", "candidates"):
        if record.get(name):
            record[name].append({**record[name][0], "index": 1})
    return record


CHOOSING = {"openai-chat", "gemini"}


@pytest.mark.parametrize("client", ["openai-chat", "gemini"])
def test_several_choices_come_or_are_refused(
    clients: Clients, client: str, model: Model, mode: Mode, played_upstream: Played
) -> None:
    if model.format not in CHOOSING:
        played_upstream.says(model, mode, WORDS)
        with pytest.raises(REFUSALS, match=r"\bn\b|choice|candidate"):
            _two(clients, client, model, mode)
        assert not played_upstream.bodies()
        return
    played_upstream.answers(altered(model, mode, doubled))
    texts, ends = _two(clients, client, model, mode)
    assert (texts, ends) == ({0: "Hello", 1: "Hello"}, {0: 1, 1: 1})
    body = played_upstream.bodies()[-1]
    assert (body.get("n") or body["generationConfig"]["candidateCount"]) == 2


def _two(clients: Clients, client: str, model: Model, mode: Mode) -> tuple[dict[int, str], dict[int, int]]:
    """Of each choice its text, and how often it said that it ended."""
    texts, ends = {0: "", 1: ""}, {0: 0, 1: 0}
    if client == "openai-chat":
        choices = [choice for answer in chat(clients, model.alias, mode, n=2) for choice in answer.choices]
        for choice in choices:
            said = choice.delta if mode == "stream" else choice.message
            texts[choice.index] += said.content or ""
            ends[choice.index] += choice.finish_reason is not None
        return texts, ends
    answers = generate(clients, model.alias, mode, candidate_count=2)
    for candidate in (candidate for answer in answers for candidate in answer.candidates or ()):
        parts = (candidate.content.parts if candidate.content else None) or ()
        texts[candidate.index or 0] += "".join(part.text or "" for part in parts)
        ends[candidate.index or 0] += candidate.finish_reason is not None
    return texts, ends


# Log probabilities.

_ALTERNATIVES = [{"token": token, "logprob": LOGPROB, "bytes": list(token.encode())} for token in (TOKEN, OTHER)]
_PROBABLE = [{**_ALTERNATIVES[0], "top_logprobs": _ALTERNATIVES}]
_GEMINIS = [{"token": token, "logProbability": LOGPROB} for token in (TOKEN, OTHER)]


def probable(record: Any) -> Any:
    """Log probabilities on whatever holds the text's beginning; elsewhere the record stays."""
    for choice in record.get("choices") or ():
        if (choice.get("message") or choice.get("delta") or {}).get("content") in ("Hello", "He"):
            choice["logprobs"] = {"content": _PROBABLE, "refusal": None}
    for candidate in record.get("candidates") or ():
        if candidate["content"]["parts"][0].get("text") in ("Hello", "He"):
            candidate["logprobsResult"] = {
                "chosenCandidates": _GEMINIS[:1],
                "topCandidates": [{"candidates": _GEMINIS}],
            }
    if record.get("message", {}).get("content") in ("Hello", "He"):
        record["logprobs"] = _PROBABLE
    _probable_item(record)
    return record


def _probable_item(record: Any) -> None:
    if record.get("type") == "response.output_text.delta" and record["delta"] == "He":
        record["logprobs"] = _PROBABLE
    for item in (record.get("response") or record).get("output") or ():
        item["content"][0]["logprobs"] = _PROBABLE


PROBABLE = {"openai-chat", "openai-responses", "gemini", "ollama"}
TELLING = [SAMPLED if model.format == "openai-chat" else model for model in MODELS]


@pytest.mark.parametrize("client", ["openai-chat", "openai-responses", "gemini", "ollama"])
@pytest.mark.parametrize("model", TELLING, indirect=True, ids=lambda model: f"to-{model.format}")
def test_log_probabilities_come_or_are_refused(
    clients: Clients, client: str, model: Model, mode: Mode, played_upstream: Played
) -> None:
    played_upstream.answers(altered(model, mode, probable) if model.format in PROBABLE else Reply(b""))
    if model.format not in PROBABLE:
        with pytest.raises(REFUSALS, match=r"log probabilities|logprobs"):
            _probabilities(clients, client, model, mode)
        assert not played_upstream.bodies()
        return
    assert _probabilities(clients, client, model, mode) == [(TOKEN, LOGPROB, [TOKEN, OTHER])]


def _probabilities(clients: Clients, client: str, model: Model, mode: Mode) -> list[tuple[str, float, list[str]]]:
    if client == "gemini":
        answers = generate(clients, model.alias, mode, response_logprobs=True, logprobs=2)
        found = [c.logprobs_result for answer in answers for c in answer.candidates or () if c.logprobs_result]
        return [
            (chosen.token, chosen.log_probability, [one.token for one in tops.candidates])
            for each in found
            for chosen, tops in zip(each.chosen_candidates, each.top_candidates, strict=True)
        ]
    return [
        (one.token, one.logprob, [top.token for top in one.top_logprobs]) for one in _told(clients, client, model, mode)
    ]


def _told(clients: Clients, client: str, model: Model, mode: Mode) -> list[Any]:
    if client == "openai-chat":
        answers = chat(clients, model.alias, mode, logprobs=True, top_logprobs=2)
        logprobs = [choice.logprobs for answer in answers for choice in answer.choices if choice.logprobs]
        return [one for each in logprobs for one in each.content or ()]
    if client == "openai-responses":
        include: Any = ["message.output_text.logprobs"]
        asked: Any = {"model": model.alias, "input": "hello", "top_logprobs": 2, "include": include}
        create = clients["openai"].responses.create
        response = list(create(**asked, stream=True))[-1].response if mode == "stream" else create(**asked)
        return list(response.output[0].content[0].logprobs)
    asked = {
        "model": model.alias,
        "messages": [{"role": "user", "content": "hello"}],
        "logprobs": True,
        "top_logprobs": 2,
    }
    chatting = clients["ollama"].chat
    lines = list(chatting(**asked, stream=True)) if mode == "stream" else [chatting(**asked)]
    return [one for line in lines for one in line.logprobs or ()]


# Sound.

HEARING = {"openai-chat", "gemini", "ollama", "bedrock"}


@pytest.mark.parametrize("client", ["openai-chat", "gemini"])
def test_sound_arrives_or_is_refused(
    clients: Clients, client: str, model: Model, mode: Mode, played_upstream: Played
) -> None:
    played_upstream.says(model, mode, WORDS)
    data = base64.b64encode(WAV).decode()
    if client == "openai-chat":
        sound: Any = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        ask = lambda: chat(clients, model.alias, mode, content=[{"type": "text", "text": "hear"}, sound])  # noqa: E731
    else:
        part = types.Part.from_bytes(data=WAV, mime_type="audio/wav")
        ask = lambda: generate(clients, model.alias, mode, contents=["hear", part])  # noqa: E731
    if model.format not in HEARING:
        with pytest.raises(REFUSALS, match=r"[Aa]udio"):
            ask()
        assert not played_upstream.bodies()
        return
    ask()
    assert data.rstrip("=") in json.dumps(played_upstream.bodies()[-1]).replace("-", "+").replace("_", "/")


def spoken(record: Any) -> Any:
    """Gemini's answer, said aloud."""
    for candidate in record.get("candidates") or ():
        if candidate["content"]["parts"][0].get("text") in ("Hello", "He"):
            sound = {"mimeType": "audio/wav", "data": base64.b64encode(WAV).decode()}
            candidate["content"]["parts"] = [{"inlineData": sound}]
    return record


SPEAKING = {"openai-chat", "gemini"}


def test_a_spoken_answer_comes_or_is_refused(
    clients: Clients, model: Model, mode: Mode, played_upstream: Played
) -> None:
    played_upstream.answers(altered(model, mode, spoken) if model.format == "gemini" else altered(model, mode, aloud))
    wishes: Any = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    if model.format not in SPEAKING:
        with pytest.raises(REFUSALS, match=r"[Aa]udio"):
            chat(clients, model.alias, mode, **wishes)
        assert not played_upstream.bodies()
        return
    answers = chat(clients, model.alias, mode, **wishes)
    said = [choice.delta if mode == "stream" else choice.message for answer in answers for choice in answer.choices]
    sounds = [each.to_dict().get("audio") for each in said]
    data = "".join(sound.get("data", "") for sound in sounds if sound)
    assert base64.b64decode(data) == WAV


def aloud(record: Any) -> Any:
    for choice in record.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        if said.get("content") in ("Hello", "He"):
            data = base64.b64encode(WAV).decode()
            said |= {"content": None, "audio": {"id": "audio_1", "data": data, "transcript": "Hello", "expires_at": 1}}
    return record
