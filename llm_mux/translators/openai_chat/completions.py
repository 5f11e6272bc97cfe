"""The legacy `POST /v1/completions`, as client protocol in front of chat models, and read back for the books.

Rules. One prompt becomes one user message. What chat cannot express is refused by name: several prompts, token ids,
`suffix`, `best_of`. `echo` is done here. Spec: OpenAI API reference, "Completions (Legacy)".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import bad_request, refused
from llm_mux.translators.base import Edits, Encoded, Hints, Outline, Target, Translator, present
from llm_mux.translators.openai_chat import adapt as adapt_
from llm_mux.translators.openai_chat import errors, models, response, stream, usage, wire
from llm_mux.wire import jsonx, sse

NAME = "openai_completions"
ECHO = "__echo"


class _Asked(Struct):
    model: str = ""
    max_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    stream: bool | None = None
    stream_options: wire.StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw | UnsetType = UNSET
    logprobs: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None


_KNOWN = frozenset(_Asked.__struct_fields__) | {"prompt"}


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """A legacy request as a conversation of one user message."""
    try:
        top = jsonx.top(body)
        asked = jsonx.decode(body, _Asked, strict=False)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body cannot be read: {error}.") from error
    model = hints.model or asked.model
    if not model:
        raise bad_request("model is missing: name the model to use.", param="model")
    _check(asked)
    extras = {key: raw for key, raw in top.items() if key not in _KNOWN}
    if asked.echo:
        extras[ECHO] = Raw(b"true")
    streams = bool(asked.stream if hints.stream is None else hints.stream)
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return ir.Request(
        model=model,
        messages=(ir.Message("user", (ir.Text(_prompt(top.get("prompt"))),)),),
        protocol=NAME,
        stream=streams,
        max_tokens=asked.max_tokens if asked.max_tokens and asked.max_tokens > 0 else None,
        stop=tuple(text for text in stop if text),
        sampling=_sampling(asked),
        user=asked.user,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage) or not streams,
        extras=extras,
    )


def _sampling(asked: _Asked) -> ir.Sampling:
    return ir.Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        logit_bias=asked.logit_bias if isinstance(asked.logit_bias, Raw) and present(asked.logit_bias) else None,
        logprobs=True if asked.logprobs is not None else None,
        top_logprobs=asked.logprobs,
        n=asked.n,
    )


def _check(asked: _Asked) -> None:
    if asked.suffix:
        raise bad_request("suffix is not supported: chat models cannot fill in the middle.", param="suffix")
    if asked.best_of is not None and asked.best_of > (asked.n or 1):
        raise bad_request("best_of above n is not supported: ask for n answers and choose.", param="best_of")
    if asked.echo and asked.logprobs is not None:
        raise bad_request("echo together with logprobs is not supported: leave one out.", param="echo")


def _prompt(raw: Raw | None) -> str:
    if raw is None or not present(raw):
        raise bad_request("prompt is missing: give a string.", param="prompt")
    try:
        found = msgspec.json.decode(raw, type=str | list[str])
    except msgspec.ValidationError as error:
        message = "prompt must be a string or a list with one string; token ids are not taken: send the text itself."
        raise bad_request(message, param="prompt") from error
    prompts = [found] if isinstance(found, str) else found
    if len(prompts) != 1:
        raise bad_request("prompt must hold exactly one text: send one request for each.", param="prompt")
    if not prompts[0].strip():
        raise bad_request("prompt is empty: give some text.", param="prompt")
    return prompts[0]


def encode_request(request: ir.Request, target: Target) -> Encoded:
    """Legacy servers are reached by legacy clients only, whose bytes go through as they are."""
    raise refused("A translated request", f"the legacy completions endpoint of {target.title}")


class _Logprobs(Struct, frozen=True):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class _Choice(Struct, frozen=True):
    text: str
    index: int
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Answer(Struct, frozen=True):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_Choice, ...]
    usage: usage.UsageOut | UnsetType | None = UNSET


class _Token(Struct):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[_Token] = []


def _tokens(raw: Raw | None, offset: int) -> _Logprobs | None:
    """Chat's list of tokens in the legacy form, which counts characters from the beginning of the text."""
    if raw is None:
        return None
    found = msgspec.json.decode(raw, type=list[_Token], strict=False)
    offsets: list[int] = []
    for token in found:
        offsets.append(offset)
        offset += len(token.token)
    return _Logprobs(
        [token.token for token in found],
        [token.logprob for token in found],
        [{other.token: other.logprob for other in token.top_logprobs} for token in found],
        offsets,
    )


def encode_response(answer: ir.Response, request: ir.Request) -> bytes:
    """A whole answer for a legacy client; reasoning has no place in it."""
    counted = UNSET if answer.usage is None else usage.encode_usage(answer.usage)
    choices = tuple(_choice(choice, _echo(request)) for choice in answer.choices)
    body = _Answer(_id(answer.id), "text_completion", answer.created, answer.model, choices, counted)
    return jsonx.encode(body)


def _choice(choice: ir.Choice, prompt: str) -> _Choice:
    if choice.finish.reason == "broken":
        raise response.broken(choice.finish)
    spoken = "".join(part.text for part in choice.parts if isinstance(part, ir.Text | ir.Refusal))
    return _Choice(prompt + spoken, choice.finish.choice, _tokens(choice.logprobs, len(prompt)), _word(choice.finish))


def _echo(request: ir.Request) -> str:
    return ir.joined(request.messages[0].parts) if ECHO in request.extras else ""


def _word(finish: ir.Finish) -> str:
    return usage.finish_word(finish, calls=False, refused=False, functions=False)


def _id(id_: str) -> str:
    return id_ if id_.startswith("cmpl") else f"cmpl-{id_}"


class Encoder:
    """Events to legacy chunks: text only."""

    def __init__(self, request: ir.Request) -> None:
        self._include_usage = request.include_usage
        self._prompt = _echo(request)
        self._head = ("", 0, "")
        self._usage: ir.Usage | None = None
        self._choices: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._over = False

    def encode(self, events: Sequence[ir.Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def keepalive(self) -> bytes:
        return sse.comment("keep-alive")

    def _event(self, event: ir.Event) -> bytes:
        if self._over:
            return b""
        match event:
            case ir.Start(id=id_, model=model, created=created):
                self._head = (_id(id_), created, model)
            case ir.PartStart(index=index, choice=choice):
                self._choices[index] = choice
                return self._echoed(choice)
            case ir.TextDelta():
                return self._text(event)
            case ir.UsageReport():
                self._usage = event.usage
            case ir.Finish():
                return self._finish(event)
            case ir.Failed(error=error):
                self._over = True
                return errors.encode_failure(error)
            case ir.Done():
                self._over = True
                return self._counts() + errors.DONE
            case _:
                pass
        return b""

    def _record(self, choices: tuple[_Choice, ...], counted: usage.UsageOut | UnsetType = UNSET) -> bytes:
        id_, created, model = self._head
        return sse.frame(jsonx.encode(_Answer(id_, "text_completion", created, model, choices, counted)))

    def _echoed(self, choice: int) -> bytes:
        """The prompt, before the first words of a choice."""
        if choice in self._length:
            return b""
        self._length[choice] = len(self._prompt)
        return self._record((_Choice(self._prompt, choice),)) if self._prompt else b""

    def _text(self, event: ir.TextDelta) -> bytes:
        choice = self._choices[event.index]
        tokens = _tokens(event.logprobs, self._length[choice])
        self._length[choice] += len(event.text)
        return self._record((_Choice(event.text, choice, tokens),)) if event.text or tokens else b""

    def _finish(self, event: ir.Finish) -> bytes:
        if event.reason == "broken":
            self._over = True
            return errors.encode_failure(response.broken(event))
        return self._echoed(event.choice) + self._record((_Choice("", event.choice, None, _word(event)),))

    def _counts(self) -> bytes:
        if not self._include_usage or self._usage is None:
            return b""
        return self._record((), usage.encode_usage(self._usage))


def adapt(body: bytes, target: Target, streams: bool, outline: Outline | None = None) -> Edits | None:
    """A legacy server gets the client's own bytes; the counts of a stream are asked for as in chat."""
    try:
        return adapt_.legacy_edits(jsonx.top(body), target, streams)
    except (jsonx.Malformed, msgspec.DecodeError):
        return None


LEGACY = Translator(
    name=NAME,
    stream_type="text/event-stream",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=response.decode_response,
    encode_response=encode_response,
    stream_decoder=stream.Decoder,
    stream_encoder=Encoder,
    decode_error=errors.decode_error,
    encode_error=errors.encode_error,
    error_status=errors.error_status,
    adapt=adapt,
    summary=response.summary,
    decode_models=models.decode_models,
    hides=adapt_.hides,
)
