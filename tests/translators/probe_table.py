"""The features that docs/translation.md lists, in its order: every row of the translation matrix that a request can ask.

What belongs to answers (usage, finish reasons, citations) is held by the crossings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from msgspec import Raw, structs

from llm_mux import ir
from tests.translators.probes import (
    ANY,
    BASE,
    CALL,
    MP4,
    OPENAI,
    OTHER,
    PDF,
    PNG,
    RESULT,
    SCHEMA,
    TOOL,
    TOOLS,
    TXT,
    WAV,
    Probe,
    called,
    calls,
    details,
    errors,
    extra,
    field,
    form,
    groups,
    hosted,
    knob,
    marks,
    model,
    of_documents,
    off,
    reasoning,
    results,
    said,
    searched,
    sides,
    signatures,
    sources,
    stricts,
    system,
    tools,
    user,
    wish,
)

ROLES = "System text and roles"
CONTENT = "Content"
TOOLING = "Tools"
THINKING = "Reasoning control"
SEALS = "Reasoning that comes back"
OUTPUT = "Structured output"
SAMPLING = "Sampling and limits"
CACHING = "Caching"
IDENTITY = "Identity, tier, others"


def probes() -> list[Probe]:
    """Every probe, in the page's order."""
    groups = (_roles, _content, _tools, _choices, _results, _thinking, _seals, _output, _sampling, _caching, _identity)
    return [probe for group in groups for probe in group()]


def _roles() -> Iterator[Probe]:
    rules = system("Be brief.")
    turns = (user(), model(ir.Text("Hi.")), user(ir.Text("Go on.")))
    talk = said(*turns)
    yield Probe(ROLES, "system text at the beginning", said(rules, user()), sides)
    yield Probe(
        ROLES, "several system messages", said(rules, system("Be kind."), user()), sides, base=said(rules, user())
    )
    developer = ir.Message("developer", (ir.Text("Be brief."),))
    yield Probe(ROLES, "role `developer`", said(developer, user()), sides, clients=OPENAI)
    late = said(*turns, rules)
    yield Probe(ROLES, "system message after the conversation began", late, sides, base=talk)
    yield Probe(ROLES, "two user turns in a row", said(user(), user(ir.Text("More."))), sides)
    yield Probe(ROLES, "first turn is the assistant's", said(model(ir.Text("Hi.")), user()), sides)
    yield Probe(ROLES, "last turn is the assistant's (prefill)", said(user(), model(ir.Text("Once"))), sides)
    named = said(ir.Message("user", (ir.Text("Hello."),), name="ada"))
    yield Probe(ROLES, "name of a speaker", named, lambda r: [m.name for m in r.messages], clients=("openai_chat",))


def _content() -> Iterator[Probe]:
    hello = ir.Text("Hello.")

    def with_(part: ir.Part) -> ir.Request:
        return said(user(hello, part))

    images, documents = sources(ir.Image), sources(ir.Document)
    https = ir.Url("https://example.com/a.png")
    yield Probe(CONTENT, "image, inline", with_(ir.Image(PNG)), images)
    yield Probe(CONTENT, "image, URL", with_(ir.Image(https)), images)
    yield Probe(CONTENT, "image, another vendor's file id", with_(ir.Image(ir.FileId("elsewhere", "file-1"))), images)
    detailed = with_(ir.Image(PNG, detail="low"))
    yield Probe(CONTENT, "detail of an image", detailed, details, base=with_(ir.Image(PNG)), clients=OPENAI)
    drawn = said(user(), model(ir.Text("Here."), ir.Image(PNG)), user(hello))
    yield Probe(CONTENT, "image in the assistant's history", drawn, images, clients=("gemini", "anthropic"))
    yield Probe(CONTENT, "PDF, inline", with_(ir.Document(PDF, name="a.pdf")), documents)
    yield Probe(CONTENT, "PDF, URL", with_(ir.Document(ir.Url("https://example.com/a.pdf"), name="a.pdf")), documents)
    yield Probe(CONTENT, "text document", with_(ir.Document(TXT, name="a.txt")), documents)
    paper = ir.Document(PDF, name="a.pdf")
    for feature, name, value, clients in (
        ("what the client says of a document", "context", "Written in 1999.", ("anthropic",)),
        ("document that the answer shall cite", "cited", True, ("anthropic",)),
        ("detail of a document", "detail", "low", ("openai_responses",)),
    ):
        told = with_(structs.replace(paper, **{name: value}))
        yield Probe(CONTENT, feature, told, of_documents(name), base=with_(paper), clients=clients)
    spoken = said(user(), model(ir.Audio(ir.FileId("openai_chat", "audio_1"))), user(hello))
    silent = said(user(), model(), user(hello))
    yield Probe(
        CONTENT, "the assistant's spoken answer", spoken, sources(ir.Audio), base=silent, clients=("openai_chat",)
    )
    yield Probe(CONTENT, "audio, inline", with_(ir.Audio(WAV)), sources(ir.Audio), clients=("gemini", "openai_chat"))
    yield Probe(CONTENT, "video, inline", with_(ir.Video(MP4)), sources(ir.Video), clients=("gemini", "openai_chat"))
    block = ir.Opaque(ir.Native("elsewhere", Raw(b'{"type":"new"}')), "new", text="[something new]")
    yield Probe(CONTENT, "unknown block with a stand-in text", with_(block), sides, base=said(user(hello)))
    bare = structs.replace(block, text="")
    yield Probe(CONTENT, "unknown block without one", with_(bare), sides, base=said(user(hello)))


def _tools() -> Iterator[Probe]:
    def with_(*offered: ir.Tool | ir.HostedTool, base: ir.Request = BASE) -> ir.Request:
        return structs.replace(base, tools=(*base.tools, *offered))

    yield Probe(TOOLING, "function tool", with_(TOOL), tools)
    yield Probe(TOOLING, "function tool without parameters", with_(OTHER), tools)
    strict = structs.replace(TOOL, strict=True)
    yield Probe(
        TOOLING, "`strict` of a function", with_(strict), stricts, base=with_(TOOL), clients=(*OPENAI, "anthropic")
    )
    odd = structs.replace(TOOL, name="mcp.files/read file")
    yield Probe(TOOLING, "name with characters that not all take", with_(odd), tools, clients=("gemini", "openai_chat"))
    free = ir.Tool("apply_patch", "Applies a patch.", free_text=True)
    yield Probe(TOOLING, "free-text (custom) tool", with_(free), tools, clients=OPENAI)
    patch = ir.ToolCall("call_2", "apply_patch", "*** Begin Patch", custom=True)
    answered = structs.replace(RESULT, call_id="call_2", name="apply_patch", custom=True)
    loop = structs.replace(called(answered, call=(patch,)), tools=(TOOL, free))
    yield Probe(TOOLING, "call of a free-text tool in the history", loop, calls, clients=OPENAI, base=called(RESULT))
    spaced = ir.Tool("search", "Searches.", SCHEMA, namespace="docs", namespace_description="Documentation.")
    yield Probe(TOOLING, "tool in a namespace", with_(spaced), tools, clients=("openai_responses",))
    unexplained = with_(structs.replace(spaced, namespace_description=None))
    yield Probe(TOOLING, "what a namespace is for", with_(spaced), groups, unexplained, ("openai_responses",))
    search = ir.HostedTool("web_search", ir.Native("elsewhere", Raw(b'{"type":"web_search"}')))
    yield Probe(TOOLING, "web search run by the vendor, alone", with_(search), hosted)
    yield Probe(TOOLING, "web search beside functions", with_(search, base=TOOLS), hosted, base=TOOLS)
    optional = structs.replace(search, optional=True)
    yield Probe(TOOLING, "web search that Codex always offers", with_(optional, base=TOOLS), hosted, base=TOOLS)
    yield from _searches(search)
    code = ir.HostedTool("code_interpreter", ir.Native("elsewhere", Raw(b'{"type":"code_interpreter"}')))
    yield Probe(TOOLING, "another tool run by the vendor", with_(code, base=TOOLS), hosted, base=TOOLS)
    forgotten = structs.replace(called(RESULT), tools=())
    yield Probe(TOOLING, "calls in the history, no tools declared", forgotten, calls)


def _searches(plain: ir.HostedTool) -> Iterator[Probe]:
    """The settings of a web search."""
    place = {"type": "approximate", "city": "Paris"}
    settings = {
        "only some domains": ({"allowed_domains": ["a.org"]}, ("anthropic",)),
        "not some domains": ({"blocked_domains": ["b.org"]}, ("anthropic",)),
        "where the user is": ({"user_location": place}, OPENAI),
        "how much context": ({"search_context_size": "low"}, OPENAI),
        "at most so many": ({"max_uses": 3}, ("anthropic",)),
    }
    for feature, (fields, clients) in settings.items():
        native = ir.Native("elsewhere", Raw(json.dumps({"type": "web_search", **fields}).encode()))
        asked = structs.replace(BASE, tools=(structs.replace(plain, native=native),))
        base = structs.replace(BASE, tools=(plain,))
        yield Probe(TOOLING, f"web search: {feature}", asked, searched, base, clients)


def _choices() -> Iterator[Probe]:
    three = structs.replace(TOOLS, tools=(*TOOLS.tools, ir.Tool("get_news")))
    choices = {
        "auto": ir.ToolChoice("auto"),
        "must call": ir.ToolChoice("any"),
        "one named tool": ir.ToolChoice("tool", ("get_weather",)),
        "none": ir.ToolChoice("none"),
        "auto among some": ir.ToolChoice("auto", ("get_weather", "get_time")),
        "must call one of some": ir.ToolChoice("any", ("get_weather", "get_time")),
    }
    for feature, choice in choices.items():
        clients = OPENAI if choice.names and choice.mode != "tool" else ANY
        request = structs.replace(three, tool_choice=choice)
        chosen = field("tool_choice")
        yield Probe(TOOLING, f"tool choice: {feature}", request, chosen, three, clients, hint=feature == "auto")
    single = structs.replace(TOOLS, parallel_tool_calls=False)
    switched = ("openai_responses", "anthropic", "openai_chat")
    yield Probe(TOOLING, "at most one call", single, field("parallel_tool_calls"), base=TOOLS, clients=switched)


def _results() -> Iterator[Probe]:
    loop = called(RESULT)
    yield Probe(TOOLING, "call and result", loop, calls, base=TOOLS)
    broken = called(RESULT, call=(structs.replace(CALL, arguments='{"city":'),))
    yield Probe(TOOLING, "arguments that are no JSON", broken, calls, base=loop)
    wrong = called(structs.replace(RESULT, is_error=True))
    yield Probe(TOOLING, "result marked as an error", wrong, errors, base=loop, clients=("anthropic", "gemini"))
    rich = ("anthropic", "openai_responses", "gemini")
    pictured = called(structs.replace(RESULT, content=(ir.Text("Sunny."), ir.Image(PNG))))
    yield Probe(TOOLING, "image in a result", pictured, results, base=loop, clients=rich)
    filed = called(structs.replace(RESULT, content=(ir.Text("Sunny."), ir.Document(PDF, name="a.pdf"))))
    yield Probe(TOOLING, "PDF in a result", filed, results, base=loop, clients=rich)
    empty = called(structs.replace(RESULT, content=()))
    yield Probe(TOOLING, "empty result", empty, results, base=loop)
    second = ir.ToolCall("call_2", "get_time", "{}")
    abandoned = called(RESULT, call=(CALL, second))
    yield Probe(TOOLING, "call without a result", abandoned, calls, base=loop)
    orphan = structs.replace(TOOLS, messages=(user(), user(RESULT)))
    yield Probe(TOOLING, "result without a call", orphan, results, base=TOOLS)


def _thinking() -> Iterator[Probe]:
    def with_(thinking: ir.Thinking) -> ir.Request:
        return structs.replace(BASE, thinking=thinking)

    manual = ("anthropic", "gemini")
    yield Probe(THINKING, "off", with_(ir.Thinking(effort="none")), off, hint=True)
    yield Probe(THINKING, "budget of 0 tokens", with_(ir.Thinking(budget=0)), off, clients=manual, hint=True)
    for word in ir.EFFORTS[1:]:
        yield Probe(THINKING, f"effort `{word}`", with_(ir.Thinking(effort=word)), wish("effort"))
    for tokens in (2000, 10000, 40000):
        request = with_(ir.Thinking(budget=tokens))
        yield Probe(THINKING, f"budget of {tokens} tokens", request, wish("budget"), clients=manual)
    adaptive = with_(ir.Thinking(adaptive=True))
    yield Probe(THINKING, "the model decides (adaptive)", adaptive, wish("adaptive"), clients=manual, hint=True)
    high = with_(ir.Thinking(effort="high"))
    clients = ("gemini", "openai_responses", "anthropic")
    shown = with_(ir.Thinking(effort="high", show=True))
    yield Probe(THINKING, "reasoning shall be shown", shown, wish("show"), base=high, clients=clients, hint=True)
    hidden = with_(ir.Thinking(effort="high", show=False))
    yield Probe(THINKING, "reasoning shall not be shown", hidden, wish("show"), base=high, clients=clients, hint=True)


_SEALS = {
    "openai_chat": Raw(b'[{"type":"reasoning.text","text":"Rain?","signature":"c2ln","index":0}]'),
    "openai_responses": Raw(b'{"id":"rs_1","encrypted_content":"c2ln"}'),
    "anthropic": Raw(b'"c2ln"'),
    "gemini": Raw(b'{"thoughtSignature":"c2ln"}'),
}
_FAMILIES = {"openai_chat": "gpt", "openai_responses": "gpt", "anthropic": "claude", "gemini": "gemini"}


def _seals() -> Iterator[Probe]:
    base = called(RESULT)
    bare = called(RESULT, call=(ir.Reasoning("Rain?"), CALL))
    yield Probe(SEALS, "reasoning without a seal", bare, reasoning, base=base, hint=True, clients=("openai_chat",))
    for owner, data in _SEALS.items():
        native = ir.Native(owner, data, _FAMILIES[owner])
        sealed = called(RESULT, call=(ir.Reasoning("Rain?", native=native), CALL))
        yield Probe(SEALS, f"reasoning sealed by {owner}", sealed, reasoning, base=base, hint=True, clients=(owner,))
    native = ir.Native("gemini", _SEALS["gemini"], "gemini")
    signed = called(RESULT, call=(structs.replace(CALL, native=native),))
    yield Probe(SEALS, "call signed by gemini", signed, signatures, base=base, hint=True, clients=("gemini",))


def _output() -> Iterator[Probe]:
    def with_(output: ir.OutputFormat, base: ir.Request = BASE) -> ir.Request:
        return structs.replace(base, output=output)

    schema = ir.OutputFormat("schema", name="answer", schema=SCHEMA)
    yield Probe(OUTPUT, "any JSON", with_(ir.OutputFormat("json")), form)
    yield Probe(OUTPUT, "JSON by a schema", with_(schema), form)
    told = with_(structs.replace(schema, description="Where it is."))
    yield Probe(OUTPUT, "what a schema is for", told, lambda r: r.output.description, with_(schema), OPENAI)
    strict = with_(structs.replace(schema, strict=True))
    yield Probe(OUTPUT, "`strict` of a schema", strict, lambda r: r.output.strict, with_(schema), OPENAI, hint=True)
    yield Probe(OUTPUT, "schema beside tools", with_(schema, TOOLS), form, base=TOOLS)


def _sampling() -> Iterator[Probe]:
    def with_(**knobs: object) -> ir.Request:
        return structs.replace(BASE, sampling=structs.replace(ir.Sampling(), **knobs))

    limit = structs.replace(BASE, max_tokens=300)
    yield Probe(SAMPLING, "limit of tokens", limit, field("max_tokens"))
    yield Probe(SAMPLING, "tiny limit of tokens", structs.replace(BASE, max_tokens=5), field("max_tokens"))
    chat = ("openai_chat", "ollama")
    values: dict[str, tuple[object, tuple[str, ...]]] = {
        "temperature": (0.4, ANY),
        "top_p": (0.9, ANY),
        "top_k": (40, ("ollama", "gemini", "anthropic")),
        "min_p": (0.1, ("ollama", "openai_chat")),
        "repetition_penalty": (1.1, ("ollama", "openai_chat")),
        "presence_penalty": (0.5, (*chat, "gemini")),
        "frequency_penalty": (0.5, (*chat, "gemini")),
        "seed": (7, (*chat, "gemini")),
        "logit_bias": (Raw(b'{"50256":-100}'), ("openai_chat",)),
        "n": (2, ("gemini", "openai_chat")),
        "logprobs": (True, ("gemini", *chat)),
    }
    for name, (value, clients) in values.items():
        yield Probe(SAMPLING, f"`{name}`", with_(**{name: value}), knob(name), clients=clients)
    hot = with_(temperature=1.7)
    yield Probe(SAMPLING, "`temperature` above 1", hot, knob("temperature"), clients=OPENAI)
    top = with_(logprobs=True, top_logprobs=3)
    yield Probe(SAMPLING, "`top_logprobs`", top, knob("top_logprobs"), clients=("gemini", *chat))
    for count in (1, 4, 6):
        stops = structs.replace(BASE, stop=tuple(f"END{number}" for number in range(count)))
        yield Probe(SAMPLING, f"{count} stop string{'s' if count > 1 else ''}", stops, field("stop"))
    blank = structs.replace(BASE, stop=("\n\n",))
    yield Probe(SAMPLING, "stop string of white space", blank, field("stop"))


def _caching() -> Iterator[Probe]:
    rules = system("Be brief.")
    mark = ir.Cache("1h")
    marked = structs.replace(rules, parts=(ir.Text("Be brief.", cache=mark),))
    yield _cached("mark on system text", said(marked, user()), said(rules, user()))
    yield _cached("mark on a user's text", said(user(ir.Text("Hello.", cache=mark))), BASE)
    offered = structs.replace(TOOLS, tools=(TOOL, structs.replace(OTHER, cache=mark)))
    yield _cached("mark on a tool", offered, TOOLS)
    yield _cached("mark on the whole request", structs.replace(BASE, cache=ir.Cache()), BASE)
    keyed = structs.replace(BASE, cache_key="conversation-1")
    yield Probe(CACHING, "cache key", keyed, field("cache_key"), clients=OPENAI, hint=True)


def _cached(feature: str, request: ir.Request, base: ir.Request) -> Probe:
    return Probe(CACHING, feature, request, marks, base, ("anthropic", "openai_responses"), hint=True)


def _identity() -> Iterator[Probe]:
    def with_(**fields: object) -> ir.Request:
        return structs.replace(BASE, **fields)

    pairs = Raw(b'{"team":"blue"}')
    yield Probe(IDENTITY, "end user", with_(user="user-1"), field("user"), clients=("openai_chat", "anthropic"))
    yield Probe(IDENTITY, "end user, a long name", with_(user="u" * 90), field("user"), clients=("anthropic",))
    yield Probe(IDENTITY, "metadata", with_(metadata=pairs), field("metadata"), clients=("openai_responses", "gemini"))
    for tier in ("auto", "default", "flex", "priority"):
        request = with_(service_tier=tier)
        clients = ("openai_chat", "gemini")
        seen = field("service_tier")
        yield Probe(IDENTITY, f"service tier `{tier}`", request, seen, clients=clients, hint=tier == "auto")
    yield Probe(IDENTITY, "verbosity", with_(verbosity="low"), field("verbosity"), clients=OPENAI)
    audible = with_(modalities=("text", "audio"))
    yield Probe(IDENTITY, "audio in the answer", audible, field("modalities"), clients=("gemini", "openai_chat"))
    stored = with_(extras={"store": Raw(b"true")})
    yield Probe(IDENTITY, "`store` (a field of the client's format)", stored, extra("store", "__store"), clients=OPENAI)
    newer = with_(extras={"brand_new": Raw(b"1")})
    yield Probe(IDENTITY, "a field that only the client's format knows", newer, extra("brand_new"), clients=ANY)
