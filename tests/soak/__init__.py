"""`make soak`: load, clients that leave, faults of both sides; nothing may be lost, doubled or leaked."""
