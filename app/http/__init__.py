"""HTTP on the wire: what the parser gets, what it is not allowed to decide, and how a connection ends."""
