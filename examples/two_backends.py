"""Run the service with two small models behind it, to see the second one stand in for the first.

    .venv/bin/python -m examples.two_backends

Then kill the first one in another terminal, while it answers or before: pkill -f 'llama_server.* first'
"""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from app import start
from app.embedded.data_dir import private_folder
from app.embedded.model import MAX_TOKENS, embedded_model

OFFERED = "small-model"


def main() -> int:
    """Run until a signal comes; return the exit code."""
    with ExitStack() as models:
        entries = []
        data_dir = private_folder(Path(".data"))
        for name in ("first", "second"):
            url, key = models.enter_context(embedded_model(name, private_folder(data_dir / name)))
            variable = f"KEY_OF_{name.upper()}"
            os.environ[variable] = key.get_secret_value()
            entries.append({"name": name, "url": url, "api_key_env": variable, "models": {OFFERED: name}})
        os.environ["LLM_BACKENDS"] = json.dumps(entries)
        os.environ["LLM_MODEL"] = OFFERED
        os.environ["LLM_MAX_TOKENS"] = str(MAX_TOKENS)
        return start.main()


if __name__ == "__main__":
    sys.exit(main())
