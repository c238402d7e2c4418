"""What the service costs, beside nginx, the plain recipe and LiteLLM proxy: `make bench`."""
