"""A streaming chat service in front of any OpenAI-compatible backend."""

__version__ = "0.1.0"
