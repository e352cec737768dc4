"""Refusals and failures as RFC 9457 problem+json: raised below the guard, answered by it, on every stack alike."""

import json
from http import HTTPStatus

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer other than success: what was wrong, where, and what to do."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **members: object) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def body(self) -> bytes:
        """The problem document, ASCII only, whatever the request held."""
        known = {"type": "about:blank", "title": self.status.phrase, "status": int(self.status), "detail": self.detail}
        return json.dumps(known | self.members).encode()

    def fields(self, length: int) -> list[tuple[str, str]]:
        """The header fields of the answer; `length` is that of its body."""
        return [("content-type", CONTENT_TYPE), ("content-length", str(length)), *self.headers.items()]


class Unavailable(Problem):
    """503: something this service depends on does not answer now. Asking again later may help."""

    def __init__(self, dependency: str, detail: str, retry_after: str = "1") -> None:
        super().__init__(503, detail, {"retry-after": retry_after}, dependency=dependency)


class TimedOut(Problem):
    """504: something this service depends on took the request but did not answer in time."""

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(504, detail, dependency=dependency)
