"""A server on this machine: where it listens, who may speak to it, and how it ends."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from coarseparts.app.guard import LOOPBACK, Guard
from coarseparts.system.errors import Failed
from coarseparts.system.interrupts import INTERRUPTS

AT_ONCE = 64
"""Connections; further ones are told to come again."""


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can speak to a server that listens there."""
    return host in ("localhost", "::1") or host.startswith("127.")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; ``port`` 0 takes a free one. Raises Failed, with the remedy, where it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
        return bound
    except (OSError, OverflowError) as error:
        remedy = "take --port 0 for a free one, or another --host"
        raise Failed(f"--port {port}: cannot listen on {host}: {getattr(error, 'strerror', error)}; {remedy}") from None


def run(
    app: ASGIApp,
    bound: socket.socket,
    host: str,
    most_bytes: int,
    *,
    page: bool,
    token: str | None = "",
    names: tuple[str, ...] = (),
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answers until it is stopped. ``token``: what requests must carry, by default a new one; None: nothing, which is
    for loopback alone. ``names``: under which it is known besides ``host``; ``ready`` gets the link to open."""
    token = secrets.token_urlsafe(24) if token == "" else token
    port = bound.getsockname()[1]
    hosts = {*LOOPBACK, host, *names} if is_loopback(host) or host in ("0.0.0.0", "::") else {host, *names}
    guarded = Guard(app, token, hosts, most_bytes, cookie=f"coarseparts-{port}", page=page)
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        guarded, log_level="critical", access_log=False, server_header=False, limit_concurrency=AT_ONCE, lifespan="off"
    )
    ready(f"http://{shown}:{port}/" + (f"?token={token}" if token is not None else ""))
    INTERRUPTS.says = "stopped"  # there is nothing that the same command would go on with
    uvicorn.Server(config).run(sockets=[bound])
