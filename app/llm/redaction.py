"""Cleans a backend's sentence of what neither a client nor the log may see."""

import re
from collections.abc import Iterable, Iterator

_MAX_READ_CHARS = 2000
_MAX_TOLD_CHARS = 300
_MAX_PROMPT_CHARS = 512 * 1024
"""A longer prompt is not searched; the sentence is withheld instead."""
_LEAST_QUOTE_CHARS = 4
_RUN_CHARS, _RUN_STEP = 16, 8
"""A run of 23 characters that stands in the prompt is always found."""
_GAP = "…"

_UNFIT = re.compile(r"</?[a-z!]|Traceback|[\x00-\x08\x0e-\x1f\x7f]", re.IGNORECASE)
"""Pages, stack traces and control characters make the whole sentence unfit."""
_SECRETS = (
    # Keys, also masked ones, and what follows words that announce a key
    re.compile(r"(?<![\w-])(?:sk|pk|rk|gsk|xai|csk|hf|nvapi|fw|tgp|org|proj)[-_][\w*.-]{2,200}"),
    re.compile(r"(?<!\w)AIza[\w-]{10,100}|(?<![\w*.-])[\w.-]{0,60}\*{3,100}[\w.-]{0,60}"),
    re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32,200}(?![A-Za-z0-9])"),
    re.compile(r"(?<=provided: )\S{4,200}|(?<=Bearer )\S{1,200}"),
)
_ADDRESSES = (
    re.compile(r"(?<![\w+.-])[a-z][a-z0-9+.-]{0,20}://\S{0,2000}", re.IGNORECASE),
    re.compile(r"(?<![\w.:-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]{1,5})?(?![\w.-])"),
    re.compile(r"\[[0-9a-f:]{3,45}\](?::[0-9]{1,5})?", re.IGNORECASE),
    re.compile(r"(?<![\w.-])[\w.-]{1,200}:[1-9][0-9]{1,4}(?![\w.-])(?:/\S{0,500})?"),
    re.compile(
        r"(?<![\w.-])(?:[a-z0-9-]{1,63}\.){1,8}"
        r"(?:com|net|org|io|ai|dev|app|cloud|cn|eu|internal|local|localhost|lan|svc|test|invalid)"
        r"(?![\w-])(?:/\S{0,500})?",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\w/])(?:/[\w.@-]{1,100}){2,20}/?"),
    re.compile(r"(?<!\w)[A-Z]:\\\S{1,200}"),
)
"""URLs, hosts and paths. A model's name has no scheme, no slash at its beginning and no domain's end."""
_QUOTED = re.compile(r"'([^']{4,300})'|\"([^\"]{4,300})\"|`([^`]{4,300})`")


def redacted(sentence: str, *, secrets: Iterable[str], hosts: Iterable[str], prompt: Iterable[str]) -> str:
    """Return what of a backend's sentence may be told; nothing if none of it is fit.

    Args:
        sentence: The backend's words.
        secrets: Keys that must not stand in it, not even in the middle of a word.
        hosts: Names of hosts.
        prompt: The texts that were sent, whose parts must not stand in it.
    """
    words = " ".join(sentence[:_MAX_READ_CHARS].split())
    if _UNFIT.search(sentence[:_MAX_READ_CHARS]):
        return ""
    for secret in filter(None, secrets):
        words = words.replace(secret, _GAP)
    for host in filter(None, hosts):
        words = re.sub(rf"(?<![\w-]){re.escape(host)}(?::[0-9]{{1,5}})?(?![\w-])", _GAP, words)
    for pattern in (*_ADDRESSES, *_SECRETS):
        words = pattern.sub(_GAP, words)
    return _without_prompt(words[:_MAX_TOLD_CHARS], list(prompt)).strip()


def _without_prompt(words: str, prompt: list[str]) -> str:
    if not words or sum(map(len, prompt)) > _MAX_PROMPT_CHARS:
        return ""
    texts = [" ".join(text.split()) for text in prompt]
    sent = "\n".join(texts)
    hidden = sorted([*_whole_texts(words, texts), *_quotes(words, sent), *_runs(words, sent)])
    told, end = "", 0
    for first, last in hidden:
        if last > end:
            told += words[end:first] + _GAP if first > end or not told else ""
            end = last
    return told + words[end:]


def _whole_texts(words: str, texts: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Find short messages that stand in the sentence as they were sent."""
    for text in set(texts):
        if len(text) >= _LEAST_QUOTE_CHARS and text in words:
            for found in re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", words):
                yield found.span()


def _quotes(words: str, sent: str) -> Iterator[tuple[int, int]]:
    """Find quotations, also shortened ones, of what was sent."""
    for found in _QUOTED.finditer(words):
        quoted = found[found.lastindex or 0].rstrip(".… ")
        if len(quoted) >= _LEAST_QUOTE_CHARS and quoted in sent:
            yield found.span(found.lastindex or 0)


def _runs(words: str, sent: str) -> Iterator[tuple[int, int]]:
    """Find longer runs of what was sent, to the end of their words."""
    for first in range(0, len(words) - _RUN_CHARS + 1, _RUN_STEP):
        last = first + _RUN_CHARS
        if words[first:last] in sent:
            end = words.find(" ", last)
            yield words.rfind(" ", 0, first) + 1, end if end >= 0 else len(words)
