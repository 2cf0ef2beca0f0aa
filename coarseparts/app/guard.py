"""Who may speak to a server, and how: token, Host, Origin, sizes; before anything else looks at a request.

A page of another site that a person has open can send requests to this machine, and a name of its own can be made to
lead here. So every request carries the token (in a cookie that other sites' requests do not carry, or as a bearer), is
addressed to a name under which the server was started, and comes from its own pages; those that write carry a header
that a form of another site cannot send.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections.abc import Collection
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coarseparts.app.errors import MISTAKE, Refused
from coarseparts.system.text import readable, short

log = logging.getLogger("coarseparts.app")

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TOKEN_NEEDED = (
    "A token is needed, the one that the command was given or printed: as Authorization: Bearer TOKEN, as the password "
    "of basic authentication, or in a header Token."
)
WRITING = ("POST", "PUT", "PATCH", "DELETE")
OWN_HEADER = "x-coarseparts"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """An ASGI application around another one.

    ``token``: None where everyone on this machine may ask (loopback alone); ``cookie``: the name of the cookie that
    holds it; ``hosts``: the names, without port, that requests may be addressed to; ``most_bytes`` of a request's body.
    ``page``: whether browsers are served, whose writing requests must carry the header X-Coarseparts and which get the
    cookie for a link with the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        hosts: Collection[str],
        most_bytes: int,
        cookie: str = "",
        page: bool = True,
    ) -> None:
        self.app, self.token, self.cookie, self.page = app, token, cookie, page
        self.hosts, self.most_bytes = {host.lower() for host in hosts}, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan; web sockets there are none
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun = False

        async def answered(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {key.lower().encode(): value.encode() for key, value in HEADERS.items()}
                there = {key for key, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((k, v) for k, v in own.items() if k not in there)]
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._addressed_here(headers)
            if self.page and scope["method"] == "GET" and scope["path"] == "/" and self._in_link(scope):
                await self._enter(answered)
                return
            self._allowed(scope, headers)
            await self.app(scope, self._limited(headers, receive), answered)
        except Refused as refusal:
            if not begun:
                await _answer(answered, refusal.status, json.dumps(refusal.content).encode(), refusal.headers)
        except Exception as error:  # a mistake of ours: one request is lost, the others go on
            what = f"{type(error).__name__}: {short(str(error))}"
            log.error("%s %s: %s", scope["method"], readable(scope["path"]), what)
            if not begun:
                await _answer(answered, 500, json.dumps({"error": MISTAKE}).encode(), {})

    def _addressed_here(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in self.hosts:
            called = short(name.lower())
            raise Refused(421, f"This server does not answer to the name {called}; ask it by one that --name gives it.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise Refused(403, "Requests from the pages of other sites are not answered.")

    def _in_link(self, scope: Scope) -> bool:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        return self.token is not None and len(given) == 1 and self._is_token(given[0])

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _allowed(self, scope: Scope, headers: Headers) -> None:
        if self.token is not None and not self._known(headers):
            if not self.page:
                raise Refused(401, TOKEN_NEEDED, password=True)
            raise Refused(401, "Open the link that the command printed: it carries the key to this page.")
        if self.page and scope["method"] in WRITING and headers.get(OWN_HEADER) != "1":
            raise Refused(403, "This request does not come from the page.")

    def _known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":  # Label Studio: any name, the token as password
            with suppress(ValueError):
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        if self._is_token(given) or self._is_token(headers.get("token", "")):  # the latter X-AnyLabeling's
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie) if self.cookie else None
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _limited(self, headers: Headers, receive: Receive) -> Receive:
        if (coding := headers.get("content-encoding", "identity").lower()) != "identity":
            raise Refused(415, f"The request's body is encoded as {short(coding)}; send it as it is.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 18 or int(length) > self.most_bytes:
            raise Refused(413, f"The request is larger than {self.most_bytes // 2**20} MiB.")
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.most_bytes:
                raise Refused(413, f"The request is larger than {self.most_bytes // 2**20} MiB.")
            return message

        return counted

    async def _enter(self, send: Send) -> None:
        """Takes the token out of the address bar, and its history, into a cookie."""
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 303, b"", {"Location": "/", "Set-Cookie": cookie})


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    named = {"content-type": "application/json", "content-length": str(len(body))} | headers
    listed = [(key.lower().encode(), value.encode("latin-1")) for key, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
