"""The application's edges: who is asking, one transaction per request, headers on every answer."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from flask import Flask, Response, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix

from portal.access.decorators import enforce
from portal.audit.caller import PORTAL, Caller, set_caller
from portal.auth import sessions
from portal.database import db
from portal.extensions import login_manager
from portal.lib.traces import trace_of
from portal.sending import late_presses

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
ONE_YEAR = 365 * 24 * 3600
ASK_NOBODY = ("static", "status.show_health")  # answered without the database, cookie or not


class PortalApp(Flask):
    """Flask, with one commit at the edge: a view that returns has its transaction committed, one that raises has not."""

    def dispatch_request(self) -> ResponseReturnValue:
        answer = super().dispatch_request()
        db.session.commit()
        return answer

    def log_exception(self, exc_info: Any) -> None:
        """What broke outside the views, such as an error page itself: where, never its text."""
        self.logger.error("request %s failed: %s", g.get("request_id"), trace_of(exc_info[1]))


def init_app(app: Flask) -> None:
    """Register the hooks, in the order in which they must run."""
    settings = app.extensions["settings"]
    if settings.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxy_hops, x_proto=1)  # type: ignore[method-assign]
    # First of all, ahead of the hooks of extensions: a refused form token, too, has a request id and a person.
    app.before_request_funcs.setdefault(None, [])[:0] = [identify, bound_form]
    app.before_request(enforce)
    app.after_request(add_headers)
    app.teardown_request(forget_caller)
    login_manager.unauthorized_handler(ask_to_sign_in)


def identify() -> None:
    """Give the request its id, nonce and caller."""
    g.request_id = uuid4().hex[:16]
    g.csp_nonce = secrets.token_urlsafe(16)
    g.user_session = g.membership = None
    if request.endpoint in ASK_NOBODY:
        return
    g.user_session, g.membership = sessions.load()
    session, membership = g.user_session, g.membership
    set_caller(
        Caller(
            user_id=session.user_id if session else None,
            account_id=membership.account_id if membership else None,
            session_id=session.id if session else None,
            ip=request.remote_addr or "",
            browser=request.user_agent.string[:300],
            request_id=g.request_id,
        )
    )


def bound_form() -> None:
    """Take forms as forms only (WEB-9), and not larger than a form may be: Werkzeug bounds multipart alone (LIM-2)."""
    if request.mimetype and request.mimetype not in FORM_TYPES and not (request.blueprint or "").endswith("_webhooks"):
        raise UnsupportedMediaType
    if request.mimetype == FORM_TYPES[0]:
        request.max_content_length = request.max_form_memory_size


def forget_caller(_error: BaseException | None) -> None:
    """Leave nobody behind for whatever this thread does next."""
    set_caller(PORTAL)


def ask_to_sign_in() -> ResponseReturnValue:
    """Send a stranger to the sign-in page and remember the page they wanted, or the mail form that they pressed."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else late_presses.page_to_return_to()
    if wanted and request.method != "GET":
        late_presses.tell()
    return redirect(url_for("auth.sign_in", next=wanted or None))


def consent_origins() -> str:
    """Where a form of ours may lead on to: browsers hold a redirect after a form to the same rule as the form."""
    settings = current_app.extensions["settings"]
    places = [urlsplit(address) for address in (settings.google_auth_url, settings.ms_login_base)]
    return " ".join(dict.fromkeys(f"{place.scheme}://{place.netloc}" for place in places))


def add_headers(response: Response) -> Response:
    """Security headers on every answer, errors included. Values of the app win where a view set its own policy."""
    nonce = g.get("csp_nonce", "")
    headers = response.headers
    headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; frame-src 'self'; manifest-src 'self'; base-uri 'none'; "
        f"object-src 'none'; frame-ancestors 'none'; form-action 'self' {consent_origins()}",
    )
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # Nothing for other sites. Our own pages must say where a form comes from: over https the form token checks that too.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={ONE_YEAR}; includeSubDomains")
    if request.endpoint == "static":
        headers["Cache-Control"] = "public, max-age=3600"
    else:
        headers["Cache-Control"] = "no-store"  # also over what Flask writes for a file to save
    headers["X-Request-Id"] = g.get("request_id", "")
    headers.pop("Server", None)
    return response
