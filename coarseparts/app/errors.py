"""What a request is answered with when it cannot be done."""

from __future__ import annotations

from typing import Any

MISTAKE = "Something went wrong here; the terminal says what."
"""What a person is told of a mistake of ours."""


class Refused(Exception):
    """``status`` of HTTP, one line for a person, without paths; ``more`` stands in the answer, too."""

    def __init__(self, status: int, message: str, retry: int | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status, self.retry, self.more = status, retry, more

    @property
    def content(self) -> dict[str, Any]:
        """The answer's body."""
        return {"error": str(self), **self.more}

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry is None else {"Retry-After": str(self.retry)}


def busy() -> Refused:
    """The queue is full."""
    return Refused(503, "The model is busy with other requests; try again in a moment.", retry=2)
