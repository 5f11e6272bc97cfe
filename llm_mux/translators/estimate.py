"""How many tokens a text is worth when nobody said: about four characters each. Always marked as an estimate."""

from __future__ import annotations

from llm_mux import ir

CHARS_PER_TOKEN = 4
_IMAGE_TOKENS = 1000
_PER_MESSAGE = 4


def output(chars: int) -> int:
    """Tokens of so many characters, rounded up."""
    return -(-chars // CHARS_PER_TOKEN)


def prompt(request: ir.Request) -> int:
    """About four characters a token over system, messages and tools; images count as a fixed size."""
    chars = tokens = 0
    for message in request.messages:
        tokens += _PER_MESSAGE
        for part in message.parts:
            more_chars, more_tokens = _weight(part)
            chars, tokens = chars + more_chars, tokens + more_tokens
    for tool in request.tools:
        raw = tool.schema if isinstance(tool, ir.Tool) else tool.native.data
        chars += len(bytes(raw)) if raw is not None else 0
        chars += len(tool.name or "") + (len(tool.description or "") if isinstance(tool, ir.Tool) else 0)
    return max(1, tokens + output(chars))


def _weight(part: ir.Part) -> tuple[int, int]:
    match part:
        case ir.Text(text=text) | ir.Reasoning(text=text) | ir.Refusal(text=text):
            return len(text), 0
        case ir.ToolCall():
            return len(part.name) + len(part.arguments), 0
        case ir.ToolResult():
            inner = [_weight(one) for one in part.content]
            return sum(c for c, _ in inner), sum(t for _, t in inner)
        case ir.Opaque():
            return len(part.text), 0
        case _:
            return 0, _IMAGE_TOKENS
