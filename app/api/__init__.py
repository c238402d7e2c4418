"""HTTP and Server-Sent Events, and nothing else."""
