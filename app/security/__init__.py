"""Who calls: API keys and bearer tokens."""
