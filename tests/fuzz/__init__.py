"""Random input for a running service, while its health and memory are watched: `make fuzz`.

A target is a module with `async def fuzz(world)`, which goes on until `world.is_over`; `TARGETS` lists them.
"""
