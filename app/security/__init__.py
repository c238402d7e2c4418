"""Authentication: API keys and bearer tokens."""
