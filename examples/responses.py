"""Asks in the background with OpenAI's package, and prints the answer; after a cut it goes on from there.

Needs openai: python examples/responses.py "Hello"
"""

import os
import sys
import time

import openai


def ask(client: openai.OpenAI, model: str, question: str) -> None:
    """Print each piece of the text once."""
    # A background response runs to its end, whether or not anything reads it.
    response = client.responses.create(model=model, input=question, background=True)
    last = -1
    while True:
        try:
            stream = client.responses.retrieve(response.id, stream=True, starting_after=last)
            for event in stream:
                last = event.sequence_number
                if event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
                elif event.type in ("response.completed", "response.incomplete"):
                    return
        except openai.APIStatusError as error:
            sys.exit(str(error))
        except openai.APIConnectionError as error:
            print(f"{error!r}: reconnecting", file=sys.stderr)
        except openai.APIError as error:  # the response has failed
            sys.exit(error.message)
        time.sleep(1)


if __name__ == "__main__":
    url = os.environ.get("CHAT_URL", "http://localhost:8000")
    model = os.environ.get("CHAT_MODEL", "smollm2-135m-instruct")
    # The service sends a ping at least every ten seconds, so a longer silence means a dead connection.
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", timeout=30) as client:
        ask(client, model, sys.argv[1])
