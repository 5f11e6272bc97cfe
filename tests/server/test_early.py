"""What the daemon does not do before it listens, in a process of its own."""

import json
import os
import subprocess
import sys

STARTED = """
import gc, json, os, ssl, sys
from llm_mux.server import early
before = dict(os.environ)
early.begin()
collecting = gc.isenabled()
import llm_mux.server.process
from llm_mux.providers import registry
registry.load()
loaded = sorted(sys.modules)
early.settled()
from llm_mux.gateway.trust import trusting
import aiohttp.connector as aiohttp
print(json.dumps({
    "loaded": loaded,
    "collecting": [collecting, gc.isenabled()],
    "environment kept": before == dict(os.environ),
    "aiohttp's": len(aiohttp._SSL_CONTEXT_VERIFIED.get_ca_certs()),
    "checked": aiohttp._SSL_CONTEXT_VERIFIED.verify_mode == ssl.CERT_REQUIRED,
    "ours": len(trusting().get_ca_certs()),
    "the system's": len(ssl.create_default_context().get_ca_certs()),
}))
"""


def test_the_daemon_starts_without_what_only_some_requests_need() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    done = subprocess.run([sys.executable, "-c", STARTED], env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    needless = {"sqlalchemy", "yaml", "cryptography", "keyring", "psutil", "rich"}
    needless |= {
        f"llm_mux.translators.{name}.translator"
        for name in ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama", "bedrock")
    }
    assert not needless & {*found["loaded"]}
    assert found["environment kept"]
    assert found["collecting"] == [False, True]


def test_no_certificate_is_read_when_aiohttp_is_loaded_and_all_are_when_a_connection_needs_them() -> None:
    for extra in ({}, {"SSL_CERT_FILE": "/nowhere.pem"}):
        env = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")} | extra
        done = subprocess.run([sys.executable, "-c", STARTED], env=env, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert (found["aiohttp's"], found["checked"], found["environment kept"]) == (0, True, True)
        assert found["ours"] == found["the system's"]
