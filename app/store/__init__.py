"""What is kept in Redis, and how."""
