"""The client of an OpenAI-compatible backend."""
