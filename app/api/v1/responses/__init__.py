"""`/v1/responses`: the events of a turn in the shape of OpenAI's Responses API, and what is kept of them."""
