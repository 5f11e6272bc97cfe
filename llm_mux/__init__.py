"""llm-mux: one local daemon between every coding tool and every model account."""

__version__ = "0.1.0"
