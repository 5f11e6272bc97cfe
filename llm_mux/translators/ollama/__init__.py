"""Ollama's native API, as client protocol and as upstream: chat, generate, embed. Spec: https://docs.ollama.com/api

`decode` and `encode` are the request's two directions (`turns` writes the conversation), `response` whole answers,
`stream` a server's stream and `lines` a client's; `adapt` says when bytes may go through, `embeddings` the vectors.
"""
