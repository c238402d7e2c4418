"""The caller of a request, identified by its credential."""

from dataclasses import dataclass

from app.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a credential."""

    user_id: str | None = None
    """The only user that the credential is valid for; None: it may act as any user."""
    key: str = ""
    """Names an API key that is bound to no user; empty if there is none."""

    @property
    def name(self) -> str:
        """The user of a request that names none."""
        return self.user_id or self.key or "anonymous"

    @property
    def scope(self) -> str:
        """Separates this caller's turns from those of other callers that name the same user."""
        return "user" if self.user_id is not None else self.key or "open"

    def is_shared_as(self, user_id: str) -> bool:
        """Tell whether this stands for the credential alone, which many may share, and for no one user."""
        return self.user_id is None and user_id == self.name

    def may_be(self, user_id: str) -> bool:
        """Tell whether the caller may act as this user."""
        return self.user_id is None or self.user_id == user_id

    def require(self, user_id: str) -> None:
        """Require that the caller may act as this user.

        Raises:
            Forbidden: The credential belongs to another user.
        """
        if not self.may_be(user_id):
            raise Forbidden


UNRESTRICTED = Caller()
"""The caller of every request if no authentication is configured."""
