"""Amazon Bedrock's Converse and ConverseStream, as a client's protocol and as an upstream's format.

Claude's own wishes travel in the fields that its family understands, by the rules of its own format. `invoke` is the
host's second format, for Anthropic bodies. Spec: https://docs.aws.amazon.com/bedrock/latest/APIReference/
"""
