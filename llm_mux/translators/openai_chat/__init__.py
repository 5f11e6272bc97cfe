"""OpenAI chat completions, as client protocol and as upstream. Spec: OpenAI API reference, "Chat Completions".

`decode` and `encode` are the request's two directions, `response` whole answers, `stream` a server's stream and
`chunks` a client's; `quirks` says how servers differ, `models` what OpenAI's families take. `completions` is the legacy
endpoint, `embeddings` the vectors.
"""
