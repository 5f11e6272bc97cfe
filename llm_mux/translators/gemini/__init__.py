"""Gemini's generateContent format (Developer API, Vertex and compatible servers), as client and as upstream.

Clients are read in both spellings and in both stream framings; `decode` and `encode` are the requests, `response`,
`stream` and `stream_out` the answers. Spec: https://ai.google.dev/api/generate-content
"""
