"""What every template may use: who is here, the menu, formatting, the nonce."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Flask, current_app, g, url_for

from portal import formatting
from portal.access.decorators import may
from portal.access.permissions import ROLE_LABELS, Permission
from portal.auth import sessions
from portal.lib.clock import now
from portal.navigation import groups, settings_link
from portal.notices.queries import unread_notices
from portal.rules.connecting import PROVIDERS
from portal.vocabulary import status_of


def init_app(app: Flask) -> None:
    """Register filters, globals and the context of signed-in pages."""
    formatting.init_app(app)
    app.jinja_env.globals.update(has_endpoint=has_endpoint, may=may, Permission=Permission, now=now, status_of=status_of)
    app.jinja_env.globals.update(providers=PROVIDERS)
    app.context_processor(page_context)


def has_endpoint(name: str) -> bool:
    """Whether the application has this page."""
    return name in current_app.view_functions


def page_context() -> dict[str, Any]:
    """The names of the layouts' contract. Reads rows that the request has already loaded, and the accounts' names."""
    session, membership = g.get("user_session"), g.get("membership")
    base = {"csp_nonce": g.get("csp_nonce", ""), "request_id": g.get("request_id", ""), "account": None, "nav": []}
    if session is None:
        return base
    return base | {
        "account": membership.account if membership else None,
        "accounts": _accounts(session.user_id, membership.account_id if membership else None),
        "person": {
            "name": session.user.name,
            "initials": session.user.initials,
            "role_label": ROLE_LABELS.get(membership.role, membership.role) if membership else "",
            "theme": session.user.theme,
        },
        "nav": groups(),
        "settings_link": settings_link(),
        "notices": unread_notices(session.user_id, membership.account_id) if membership else [],
    }


def _accounts(user_id: UUID, current: UUID | None) -> list[dict[str, Any]]:
    return [
        {
            "name": row.account.name,
            "location": row.account.location,
            "initials": row.account.initials,
            "current": row.account_id == current,
            "switch_url": url_for("auth.switch_account", account_id=row.account_id),
        }
        for row in sessions.memberships(user_id)
    ]
