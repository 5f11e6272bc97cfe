"""Prints the page on providers: `python -m llm_mux.providers > docs/providers.md`."""

import sys

from llm_mux.providers.document import markdown

if __name__ == "__main__":
    sys.stdout.write(markdown())
