"""The OpenAI-compatible front: another way to ask the same turn engine."""
