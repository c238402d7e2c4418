"""The engine: a turn has one owner and any number of readers."""
