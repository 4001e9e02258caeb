"""What every route must say: who may use it. A route that says nothing answers nobody (deny by default)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request

from portal.access.permissions import Permission, role_may
from portal.errors import Forbidden, NotFound

View = TypeVar("View", bound=Callable[..., Any])
DECLARED = "declared_access"
PUBLIC = "public"
SIGNED_IN = "signed in"


def requires(permission: Permission) -> Callable[[View], View]:
    """The route needs a signed-in person whose role in the current account has `permission`."""

    def declare(view: View) -> View:
        setattr(view, DECLARED, permission)
        return view

    return declare


def public(view: View) -> View:
    """The route answers anybody: sign-in, health, webhooks (which check signatures themselves)."""
    setattr(view, DECLARED, PUBLIC)
    return view


def signed_in(view: View) -> View:
    """The route needs a signed-in person, in no particular account: switching accounts, signing out."""
    setattr(view, DECLARED, SIGNED_IN)
    return view


def declared_access(endpoint: str | None) -> Permission | str | None:
    """What the view behind an endpoint declared; None when nothing."""
    view = current_app.view_functions.get(endpoint or "")
    return getattr(view, DECLARED, None)


def enforce() -> Any:
    """Before every request: let it pass, send to sign-in, or refuse. Static files of the app itself are public."""
    if request.endpoint is None or request.endpoint == "static":
        return None
    declared = declared_access(request.endpoint)
    if declared == PUBLIC:
        return None
    if g.get("user_session") is None:
        return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
    if declared == SIGNED_IN:
        return None
    if not isinstance(declared, Permission):
        raise NotFound(cause="undeclared_route")
    if g.membership is None or not role_may(g.membership.role, declared):
        raise NotFound(cause=declared.value) if declared.hides else Forbidden(cause=declared.value)
    return None


def may(permission: Permission) -> bool:
    """Whether the signed-in person's role has `permission`; for templates and the menu."""
    membership = g.get("membership")
    return membership is not None and role_may(membership.role, permission)
