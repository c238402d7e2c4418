"""`/v1/conversations`: conversations as lists of items, which responses read and append to."""
