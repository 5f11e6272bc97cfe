"""Prints what is made from the schema: `python -m llm_mux.config example > config.example.yaml`."""

import sys

from llm_mux.config.documents import example, markdown

TEXTS = {"example": example, "markdown": markdown}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in TEXTS:
        sys.stderr.write(f"usage: python -m llm_mux.config {{{'|'.join(TEXTS)}}}\n")
        return 2
    sys.stdout.write(TEXTS[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
