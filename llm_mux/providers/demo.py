"""The scripted model server inside the daemon (`serve --demo`); its address is known only at run time.

No model answers there: what was said comes back. Given tools it does small tasks with them, so that a coding tool can
be seen at work: "list the files here", "read README.md", "create notes.txt with the words good day", "find `total` in
the code", "run `git status`" (a command that does more than show something is only echoed). A tool is also called when
its name stands in the question, with the JSON behind it as its arguments.
"""

from __future__ import annotations

from llm_mux.providers.base import Endpoint, Provider, no_auth

PROVIDER = Provider(
    name="demo",
    title="Demo",
    base_url="",
    endpoints=(
        Endpoint("openai_chat", "/v1/chat/completions"),
        Endpoint("openai_responses", "/v1/responses"),
        Endpoint("anthropic", "/v1/messages"),
        Endpoint(
            "gemini",
            "/v1beta/models/{model}:generateContent",
            stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint("ollama", "/api/chat"),
        Endpoint("openai_chat", "/v1/embeddings", operation="embed"),
    ),
    auth=no_auth,
    models_path="/v1/models",
    owns=("demo",),
    keyless=True,
    allows="A toy: nothing leaves the machine.",
)
