# ruff: noqa: INP001 -- a script, not a package
"""Write vLLM's configuration file: the model and, if the model has none of its own, a chat template.

vLLM refuses every chat with a model that has no chat template, and base models such as facebook/opt-125m
have none. A template on vLLM's command line, however, wins over the model's own. So this runs before vLLM, on
the same image, and names the template beside this file only if it is needed.

Usage: LLM_MODEL=… python3 write_config.py FILE.yaml
"""

import json
import os
import sys
from pathlib import Path

PLAIN_CHAT = Path(__file__).with_name("plain_chat.jinja")


def lacks_chat_template(model: str) -> bool:
    """Tell whether the model is one for text alone that has no chat template."""
    from transformers import AutoProcessor, PreTrainedTokenizerBase  # noqa: PLC0415 -- the image may have none

    # A text model comes back as its tokenizer. Another one as its processor: plain text would not do for it.
    loaded = AutoProcessor.from_pretrained(model)
    return isinstance(loaded, PreTrainedTokenizerBase) and loaded.chat_template is None


def config(model: str, chat_template: Path | None) -> str:
    """Render the file. It is never empty, which vLLM could not read; JSON's strings are YAML's too."""
    options = {"model": model}
    if chat_template is not None:
        options["chat-template"] = str(chat_template)
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in options.items())


def main() -> None:
    model, target = os.environ["LLM_MODEL"], Path(sys.argv[1])
    try:
        chat_template = PLAIN_CHAT if lacks_chat_template(model) else None
        note = f"chat template {chat_template}" if chat_template else "chat template left to the model"
    except Exception as error:  # noqa: BLE001 -- what is wrong with the model is for vLLM to say, in its own words
        chat_template = None
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        note = f"no chat template given, as the model could not be looked at ({reason})"
    target.write_text(config(model, chat_template), encoding="utf-8")
    print(f"{model}: {note}", flush=True)  # noqa: T201 -- a container's log is its standard output


if __name__ == "__main__":
    main()
