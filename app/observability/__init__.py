"""What an operator sees: probes and logs."""
