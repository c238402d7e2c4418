"""A streaming chat service in front of any OpenAI-compatible backend."""
