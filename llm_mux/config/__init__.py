"""The configuration: one schema that is the validator, the example and the documentation.

`load` reads it, `schema` defines it. Rule: importing this is cheap; YAML is loaded only when a file is read.
"""

from llm_mux.config.checks import base_url_problem, is_loopback
from llm_mux.config.documents import example, markdown, masked
from llm_mux.config.load import Loaded, load, located, parse, reload
from llm_mux.config.problems import ConfigError, Place, nearest
from llm_mux.config.references import PASSTHRU, Reference, from_env, reference
from llm_mux.config.schema import Config, Limits, ProviderEntry, ProviderKey, ProviderModel, RateLimits

__all__ = [
    "PASSTHRU",
    "Config",
    "ConfigError",
    "Limits",
    "Loaded",
    "Place",
    "ProviderEntry",
    "ProviderKey",
    "ProviderModel",
    "RateLimits",
    "Reference",
    "base_url_problem",
    "example",
    "from_env",
    "is_loopback",
    "load",
    "located",
    "markdown",
    "masked",
    "nearest",
    "parse",
    "reference",
    "reload",
]
