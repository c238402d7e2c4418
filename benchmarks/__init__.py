"""The costs of the service beside nginx, the plain recipe and LiteLLM proxy: `make bench`."""
