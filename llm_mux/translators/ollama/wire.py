"""Ollama's wire format as Structs: what a client sends, and the shape that whole answers and stream lines share.

Rule: wire strings are spelled here, as field names. What is never looked into stays `Raw`.
Spec: https://docs.ollama.com/api/chat, https://docs.ollama.com/api/generate
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType

NAME = "ollama"
GENERATE = Raw(b'"generate"')
"""The value of `OPERATION` for `/api/generate`; chat requests carry no note."""
OPERATION = "__operation"
"""A note in `extras` to this format's own encoders: which endpoint the client called. It never leaves the program."""

RawField = Raw | UnsetType


class Function(Struct, frozen=True):
    name: str | None = None
    arguments: RawField = UNSET


class Call(Struct, frozen=True):
    function: Function | None = None
    id: str | None = None


class ImageUrl(Struct, frozen=True):
    url: str = ""


class Piece(Struct, frozen=True):
    """A content part in OpenAI's manner, which clients of both APIs sometimes send here."""

    type: str | None = None
    text: str | None = None
    image_url: ImageUrl | str | None = None


class Message(Struct, frozen=True):
    """One message of a client's history. `name` is an old spelling of `tool_name`."""

    role: str
    content: str | list[Piece] | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Call] | None = None
    tool_name: str | None = None
    name: str | None = None
    tool_call_id: str | None = None


class FunctionTool(Struct, frozen=True):
    name: str = ""
    description: str | None = None
    parameters: RawField = UNSET


class Tool(Struct, frozen=True):
    type: str | None = None
    function: FunctionTool | None = None


class Options(Struct, frozen=True):
    """The options that have a canonical form."""

    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None


class Said(Struct, frozen=True):
    """The message of an answer, whole or one line's piece of it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    images: list[str] | None = None


class Answer(Struct, frozen=True):
    """A whole answer, and one line of a stream. `response` and `thinking` are generate's, `error` stands alone."""

    model: str | None = None
    created_at: str | None = None
    message: Said | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: RawField = UNSET
    error: RawField = UNSET


class FunctionOut(Struct, frozen=True, omit_defaults=True):
    name: str
    arguments: Raw
    index: int | None = None


class CallOut(Struct, frozen=True, omit_defaults=True):
    function: FunctionOut
    id: str | UnsetType = UNSET


class MessageOut(Struct, frozen=True, omit_defaults=True):
    """A message on its way out, to a server as history or to a client as the answer."""

    role: str
    content: str
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[CallOut] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
