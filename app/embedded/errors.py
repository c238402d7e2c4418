"""The error that stops the start if an embedded part cannot start."""


class EmbeddedError(Exception):
    """A part that cannot start. The text says what is wrong and what to type."""


def not_installed(what: str, variable: str) -> EmbeddedError:
    """Return the error for a part whose packages are missing."""
    return EmbeddedError(
        f"{variable} is unset and {what} is not installed. Set {variable}, or type: make install"
    )
