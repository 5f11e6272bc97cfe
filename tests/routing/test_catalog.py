"""Model names as clients write them, and the provider and model they lead to."""

from dataclasses import dataclass

import msgspec
import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.routing.aliases import from_environment
from llm_mux.routing.catalog import Catalog, Offer, Route, thinking_suffix
from llm_mux.translators.base import ModelInfo


def offer(provider: str, *models: str, **more: object) -> Offer:
    return Offer(provider, vendor=str(more.pop("vendor", provider)), listed=listed(*models), **more)  # type: ignore[arg-type]


def listed(*models: str) -> dict[str, ModelInfo]:
    return {model: ModelInfo(model) for model in models}


GEMINI = offer("gemini", "gemini-2.5-pro", "gemini-2.5-flash", "shared", others=("google",), owns=("gemini-",))
WORK = offer(
    "work",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "claude-opus-4-6-preview",
    vendor="anthropic",
    others=("claude",),
    owns=("claude-",),
    excluded=("*-preview",),
    renamed={"sonnet": "claude-sonnet-4-5", "early": "claude-opus-4-6-preview"},
)
ROUTER = offer("openrouter", "anthropic/claude-sonnet-4-5", "gemini:free", "shared", "qwen-max(high)")
OLLAMA = offer("ollama", "qwen3:8b", "gemma3")
FIXED = offer("lab", "lab-1", only_listed=True, owns=("lab-",))
ALIASES = {
    "fast": "gemini://gemini-2.5-flash",
    "faster": "fast",
    "fastest": "faster",
    "clever": "claude-opus-4-5(high)",
    "gemini-2.5-pro": "fast",
    "round": "and-round(low)",
    "and-round": "round(high)",
    "gpt-*": "gemini-2.5-pro",
    "gpt-5*": "sonnet",
    "mini?": "fast",
}
CATALOG = Catalog((GEMINI, WORK, ROUTER, OLLAMA, FIXED), ALIASES)


@dataclass(frozen=True)
class Case:
    name: str
    provider: str
    model: str
    account: str | None = None
    effort: str | None = None
    budget: int | None = None


FORMS = [
    Case("gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("gemini://gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("gemini:gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("gemini/gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("models/gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("google://gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    Case("gemini://not-listed-yet", "gemini", "not-listed-yet"),
    Case("work://claude-opus-4-5", "work", "claude-opus-4-5"),
    Case("anthropic://claude-opus-4-5", "work", "claude-opus-4-5"),
    Case("claude@home://claude-opus-4-5", "work", "claude-opus-4-5", account="home"),
    Case("work@home:claude-opus-4-5", "work", "claude-opus-4-5", account="home"),
    Case("work@home/claude-opus-4-5(low)", "work", "claude-opus-4-5", account="home", effort="low"),
    Case("sonnet", "work", "claude-sonnet-4-5"),
    Case("work://sonnet", "work", "claude-sonnet-4-5"),
    Case("claude-haiku-9", "work", "claude-haiku-9"),
    Case("fast", "gemini", "gemini-2.5-flash"),
    Case("fastest", "gemini", "gemini-2.5-flash"),
    Case("clever", "work", "claude-opus-4-5", effort="high"),
    Case("lab-1", "lab", "lab-1"),
]
EXACT_FIRST = [
    Case("anthropic/claude-sonnet-4-5", "openrouter", "anthropic/claude-sonnet-4-5"),
    Case("openrouter/anthropic/claude-sonnet-4-5", "openrouter", "anthropic/claude-sonnet-4-5"),
    Case("openrouter://meta-llama/llama-9:free", "openrouter", "meta-llama/llama-9:free"),
    Case("gemini:free", "openrouter", "gemini:free"),
    Case("qwen3:8b", "ollama", "qwen3:8b"),
    Case("ollama:qwen3:8b", "ollama", "qwen3:8b"),
    Case("ollama/qwen3:8b", "ollama", "qwen3:8b"),
    Case("gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
]
WILDCARDS = [
    Case("gpt-4.1", "gemini", "gemini-2.5-pro"),
    Case("gpt-5.2", "work", "claude-sonnet-4-5"),
    Case("gpt-5.2(high)", "work", "claude-sonnet-4-5", effort="high"),
    Case("mini7", "gemini", "gemini-2.5-flash"),
    Case("openrouter://gpt-4.1", "openrouter", "gpt-4.1"),
]
THINKING = [
    pytest.param(case, marks=pytest.mark.covers("FB-81"))
    for case in (
        Case("gemini-2.5-pro(8192)", "gemini", "gemini-2.5-pro", budget=8192),
        Case("gemini-2.5-pro(0)", "gemini", "gemini-2.5-pro", budget=0),
        Case("gemini-2.5-pro(high)", "gemini", "gemini-2.5-pro", effort="high"),
        Case("gemini-2.5-pro(none)", "gemini", "gemini-2.5-pro", effort="none"),
        Case("gemini-2.5-pro(auto)", "gemini", "gemini-2.5-pro", budget=-1),
        Case("fast(low)", "gemini", "gemini-2.5-flash", effort="low"),
        Case("clever(512)", "work", "claude-opus-4-5", budget=512),
        Case("gemini://gemini-2.5-pro(8192)", "gemini", "gemini-2.5-pro", budget=8192),
        Case("claude-opus-4-1-thinking", "work", "claude-opus-4-1-thinking"),
        Case("qwen-max(high)", "openrouter", "qwen-max(high)"),
        Case("openrouter://qwen-max(high)", "openrouter", "qwen-max(high)"),
    )
]


@pytest.mark.parametrize("case", [*FORMS, *EXACT_FIRST, *WILDCARDS, *THINKING])
def test_every_form_of_a_name_leads_to_its_provider(case: Case) -> None:
    wanted = Route(case.provider, case.model, case.account, case.effort, case.budget)
    assert CATALOG.resolve(case.name) == (wanted,)


def test_a_model_that_several_providers_have_goes_to_them_in_the_order_of_the_configuration() -> None:
    assert [route.provider for route in CATALOG.resolve("shared")] == ["gemini", "openrouter"]
    assert [route.provider for route in CATALOG.resolve("openrouter/shared")] == ["openrouter"]


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-4-6-preview",
        "work://claude-opus-4-6-preview",
        "claude/claude-opus-4-6-preview",
        "early",
        "claude-next-preview",
        "work://claude-next-preview(high)",
        "lab-2",
        "round",
        "nobody://gemini-2.5-pro",
        "@cf/meta/llama",
        ":gemini-2.5-pro",
        "/gemini-2.5-pro",
        "gemini://",
        "",
    ],
)
def test_what_nobody_has_is_a_404(name: str) -> None:
    with pytest.raises(MuxError) as caught:
        CATALOG.resolve(name)
    assert caught.value.kind is Kind.MODEL_NOT_FOUND
    assert caught.value.param == "model"


def test_an_unknown_name_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(MuxError, match=r"gemini-2\.5-pro"):
        CATALOG.resolve("gemni-2.5-pr")
    with pytest.raises(MuxError, match="llm-mux models"):
        CATALOG.resolve("zzzzzz")
    names = CATALOG.names()
    assert {"sonnet", "fast", "qwen3:8b"} <= set(names)
    assert not {"gpt-*", "mini?", "early", "claude-opus-4-6-preview"} & set(names), "neither wildcards nor hidden ones"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Gemini-2.5-Pro", "Nearest: gemini-2.5-pro"),
        ("gone", "The alias `gone` stands for `no-such-model`, which does not exist"),
        ("nobody://m", "no provider `nobody` is configured. There is: gemini"),
        ("nobody@me://m", "no provider `nobody` is configured"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_wrong_with_it(name: str, words: str) -> None:
    catalog = Catalog((msgspec.structs.replace(GEMINI, owns=()),), aliases={"gone": "no-such-model"})
    with pytest.raises(MuxError) as caught:
        catalog.resolve(name)
    assert words in str(caught.value)


def test_without_any_provider_the_answer_says_what_to_do() -> None:
    with pytest.raises(MuxError, match="llm-mux login") as caught:
        Catalog().resolve("gpt-5")
    assert caught.value.kind is Kind.NO_TARGET


def test_the_default_provider_gets_what_nobody_is_known_to_have() -> None:
    catalog = Catalog((GEMINI, WORK), default_provider="work")
    assert catalog.resolve("something-new") == (Route("work", "something-new"),)
    assert catalog.resolve("something-new(high)") == (Route("work", "something-new", effort="high"),)
    assert catalog.resolve("gemini-2.5-pro")[0].provider == "gemini"
    with pytest.raises(MuxError):
        catalog.resolve("something-preview")


def test_a_lonely_provider_that_could_not_be_asked_gets_every_name_but_is_asked_first() -> None:
    lonely = Catalog((Offer("lm"),))
    assert lonely.resolve("anything") == (Route("lm", "anything"),)
    assert not lonely.knows("anything")
    assert CATALOG.knows("gemini://anything")
    assert CATALOG.knows("models/shared")
    assert not CATALOG.knows("anything")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("m(high)", ("m", "high", None)),
        ("m(4096)", ("m", None, 4096)),
        ("m(auto)", ("m", None, -1)),
        ("m()", ("m()", None, None)),
        ("m(-5)", ("m(-5)", None, None)),
        ("m(²)", ("m(²)", None, None)),
        ("m(huge)", ("m(huge)", None, None)),
        ("m(high) ", ("m(high) ", None, None)),
        ("m-thinking", ("m-thinking", None, None)),
        ("a(1)(low)", ("a(1)", "low", None)),
    ],
)
@pytest.mark.covers("FB-81")
def test_only_a_suffix_in_parentheses_is_one(name: str, parts: tuple[str, str | None, int | None]) -> None:
    assert thinking_suffix(name) == parts


INSIDE = Catalog(
    (GEMINI, WORK, OLLAMA),
    {
        "haiku": "gemini://gemini-2.5-flash",
        "opus": "clever",
        "clever": "claude-opus-4-5",
        "fast-haiku": "gemma3",
        "go": "fast",
    },
)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param("claude-3-5-HAIKU-20241022", "gemini-2.5-flash", id="whatever the case"),
        pytest.param("my-fast-haiku-2", "gemma3", id="the longest one"),
        pytest.param("claude-opus-9", "claude-opus-4-5", id="through a chain"),
        pytest.param("claude-opus-4-5", "claude-opus-4-5", id="a name that somebody has stays"),
        pytest.param("claude-haiku-9(high)", "gemini-2.5-flash", id="before a thinking suffix"),
        pytest.param("work://claude-haiku-9", "claude-haiku-9", id="a provider that was named keeps the name"),
        pytest.param("claude/claude-haiku-9", "claude-haiku-9", id="in every form"),
        pytest.param("claude-go-9", "claude-go-9", id="two letters stand in everything"),
    ],
)
def test_an_alias_counts_inside_a_longer_name(name: str, model: str) -> None:
    assert INSIDE.resolve(name)[0].model == model


def test_an_owner_whose_list_is_not_known_keeps_its_names() -> None:
    unlisted = offer("anthropic", owns=("claude-",))
    catalog = Catalog((unlisted, GEMINI), {"haiku": "gemini-2.5-flash"})
    assert catalog.resolve("claude-haiku-4-5")[0].provider == "anthropic"
    assert catalog.resolve("some-haiku")[0].provider == "gemini"


def test_an_alias_inside_a_name_does_not_keep_the_providers_from_being_asked() -> None:
    assert not Catalog((OLLAMA, GEMINI), {"haiku": "gemma3"}).knows("claude-haiku-4-5")


def test_aliases_in_a_circle_are_told_as_one() -> None:
    with pytest.raises(MuxError, match="in a circle: a1 -> a2 -> a3 -> a1"):
        Catalog((GEMINI,), {"a1": "a2", "a2": "a3", "a3": "a1"}).resolve("a1")


def test_aliases_of_the_environment_belong_to_their_provider() -> None:
    env = {
        "ANTHROPIC_ALIAS_FAST": "claude-haiku-4-5",
        "MY_LAB_ALIAS_BIG_ONE": " lab-70b ",
        "OPENAI_ALIAS_FAST": "gpt-5-mini",
        "GEMINI_ALIAS_ELSEWHERE": "ollama://gemma3",
        "NOBODY_ALIAS_X": "y",
        "GEMINI_ALIAS_EMPTY": " ",
        "ALIAS_GEMINI": "z",
    }
    providers = [("work", "anthropic"), ("my-lab", "openai-compatible"), ("openai", "openai"), ("gemini", "gemini")]
    assert from_environment(env, providers) == {
        "fast": "work://claude-haiku-4-5",
        "big-one": "my-lab://lab-70b",
        "elsewhere": "ollama://gemma3",
    }
