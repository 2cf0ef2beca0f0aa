"""What a request is answered with when it cannot be done."""

from __future__ import annotations

from typing import Any

MISTAKE = "Something went wrong here; the terminal says what."
"""What a person is told of a mistake of ours."""


class Refused(Exception):
    """``status`` of HTTP, one line for a person, without paths; ``more`` stands in the answer, too. ``retry``: seconds;
    ``password``: whether a browser is to ask for one."""

    def __init__(
        self, status: int, message: str, retry: int | None = None, password: bool = False, **more: Any
    ) -> None:
        super().__init__(message)
        self.status, self.more = status, more
        self.headers = {} if retry is None else {"Retry-After": str(retry)}
        if password:
            self.headers["WWW-Authenticate"] = 'Basic realm="coarseparts"'

    @property
    def content(self) -> dict[str, Any]:
        """The answer's body."""
        return {"error": str(self), **self.more}


def busy() -> Refused:
    """The queue is full."""
    return Refused(503, "The model is busy with other requests; try again in a moment.", retry=2)
