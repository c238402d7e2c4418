"""Random input for a running service, while its health and memory are watched: `make fuzz`.

A target is a module with a `TARGET`; `tests/fuzz/__main__.py` lists them.
"""
