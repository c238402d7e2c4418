"""Text of a backend that splits a character over two chunks: halves of surrogate pairs are joined again."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class SurrogateJoiner:
    """Joins the parts of one text so that each part can be written as UTF-8."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, text: str) -> str:
        """Return the text so far that has not been returned yet, without a first half at its end."""
        if text.isascii() and not self._half:
            return text
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return well_formed(text[:-1] if self._half else text)

    def rest(self) -> str:
        """Return what stands for a half that no other half has followed."""
        half, self._half = self._half, ""
        return _REPLACEMENT if half else ""


def well_formed(text: str) -> str:
    """Join pairs of surrogates, and replace single ones."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
