"""`python -m llm_mux` is the same as `llm-mux`."""

from llm_mux.cli import main

if __name__ == "__main__":
    main()
