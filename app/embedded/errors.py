"""Why an embedded part cannot start."""


class EmbeddedError(Exception):
    """The text is for the person who typed the command: what is wrong, and what to type."""


def not_installed(what: str, variable: str) -> EmbeddedError:
    """The part's packages are missing, and the variable that would replace it is unset."""
    return EmbeddedError(
        f"{variable} is unset and {what} is not installed. Set {variable}, or type: make install"
    )
