"""Who calls, and from which page: the user comes from the caller's credentials, where something reads them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection


class Principal(NamedTuple):
    """The caller: a user, whose threads are those of a tenant."""

    user_id: str
    tenant: str = ""


Authenticate: TypeAlias = Callable[[HTTPConnection], "Principal | Awaitable[Principal | None] | None"]
"""Reads the caller's credentials, from a header or a cookie. None: they are no good. May be async."""


class Access:
    """Decides who may do what.

    Without ``authenticate`` a caller is whoever it says: for a server behind one that knows better, or on one's own
    machine. ``origins``: pages that may call from a browser; None: those of the server's own host; "*" is all.
    """

    def __init__(self, authenticate: Authenticate | None, origins: Collection[str] | None) -> None:
        self._authenticate = authenticate
        self._origins = None if origins is None else frozenset(origins)

    async def caller(self, connection: HTTPConnection, named: str | None) -> Principal:
        """Return who calls. ``named`` is the user that path or payload speaks of.

        Raise ``HTTPException``: 401 for bad credentials, 403 for another user's business or a foreign page, 400
        when nobody is named.
        """
        self._check_origin(connection)
        if self._authenticate is None:
            if not named:
                raise HTTPException(400, "user_id has to be a text that is not empty.")
            return Principal(named)
        found = self._authenticate(connection)
        principal = await found if inspect.isawaitable(found) else found
        if principal is None:
            raise HTTPException(401, "Who are you?")
        if named is not None and named != principal.user_id:
            raise HTTPException(403, "That is another user.")
        return principal

    def _check_origin(self, connection: HTTPConnection) -> None:
        origin = connection.headers.get("origin")
        if origin is None or (self._origins is not None and ({"*", origin} & self._origins)):
            return
        if self._origins is None and urlsplit(origin).netloc == connection.headers.get("host"):
            return
        raise HTTPException(403, "Calls from that page are not allowed.")
