"""Who a request comes from, as far as its credential tells."""

from dataclasses import dataclass

from app.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the credential."""

    user_id: str | None = None
    """The one user that the credential is for; None: it may speak for any."""
    name: str = "anonymous"
    """The user of a request that names none."""
    scope: str = "open"
    """What tells this caller's turns from those of other callers that name the same user."""

    def may_be(self, user_id: str) -> bool:
        """Whether this user's turns and conversations are the caller's own."""
        return self.user_id is None or self.user_id == user_id

    def require(self, user_id: str) -> None:
        """Let the caller speak for this user.

        Raises:
            Forbidden: The credential is another user's.
        """
        if not self.may_be(user_id):
            raise Forbidden


ANYBODY = Caller()
