"""Anthropic's Messages API: `POST /v1/messages`, whole and streamed, token counts and model lists.

As a client's protocol and as an upstream's format; compatible hosts differ by `Quirks`.
Spec: https://docs.anthropic.com/en/api/messages
"""
