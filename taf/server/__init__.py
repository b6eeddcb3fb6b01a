"""Serves a graph that people send messages to, over HTTP and WebSocket. Needs the extra ``server``."""

from taf.server.access import Authenticate, Principal
from taf.server.app import create_app, lifespan, router
from taf.server.limits import Limits

__all__ = ["Authenticate", "Limits", "Principal", "create_app", "lifespan", "router"]
