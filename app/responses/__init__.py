"""Responses in OpenAI's shape, as a pure projection of what turns store: no clock, no randomness, no I/O."""
