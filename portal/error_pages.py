"""Every error as a plain page with its request id: what happened, whether anything was lost, what to press."""

from __future__ import annotations

from contextlib import suppress

from flask import Flask, current_app, g, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.errors import DomainError
from portal.lib.traces import trace_of
from portal.security import ask_to_sign_in
from portal.sending import late_presses

WORDS = {
    400: ("That could not be read", "The form or address was not complete. Nothing was changed."),
    403: ("This is not yours to do", "Your role does not include this. Nothing was changed."),
    404: ("There is nothing here", "This page does not exist, or it is not yours to see."),
    405: ("This page is not used that way", "Nothing was changed. Go back and use the page’s own buttons."),
    413: ("That is too large", "The upload is over the limit. Nothing was stored."),
    415: ("That is not a form", "The portal could not read this kind of content. Nothing was changed."),
    429: ("Too many tries", "Wait a little and try again. Nothing was changed."),
    500: ("Something broke on our side", "Your last step was not carried out. Nothing was half-saved; try again."),
    503: ("The portal cannot reach its database", "Your last step was not carried out. Try again in a minute."),
}
LATE_PRESS = (
    "You were signed out in between", "Nothing was sent; your text is kept as a draft. Attach files again when you send."
)  # fmt: skip
STALE_FORM = (
    "This form is no longer valid", "Nothing was changed. Go back, load the page again, and press once more."
)  # fmt: skip


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(DomainError, show_domain_error)
    app.register_error_handler(CSRFError, show_csrf_error)
    app.register_error_handler(HTTPException, show_http_error)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(kind, show_database_error)
    app.register_error_handler(Exception, show_crash)


def show_domain_error(error: DomainError) -> tuple[str, int]:
    """A refusal: what the request had begun is rolled back, then the refusal itself is recorded (A-02)."""
    _record_refusal(error.cause)
    return page(error.status, error.title, error.message, error.href, error.press), error.status


def _record_refusal(cause: str) -> None:
    db.session.rollback()
    if g.get("user_session") is not None:
        record(events.ACCESS_REFUSED, outcome="refused", endpoint=request.endpoint or "", cause=cause)
        db.session.commit()


def show_csrf_error(_error: CSRFError) -> ResponseReturnValue:
    """A form that was not made for this session, or one left open until the session ended (bad input 40)."""
    _record_refusal("form_token")
    wanted = late_presses.page_to_return_to()
    if wanted and g.get("user_session") is None:
        return ask_to_sign_in()
    if wanted and late_presses.keep_text():
        db.session.commit()
        return page(400, *LATE_PRESS, wanted, "Open the draft"), 400
    return page(400, *STALE_FORM), 400


def show_http_error(error: HTTPException) -> tuple[str, int] | HTTPException:
    """Werkzeug's own errors."""
    db.session.rollback()
    status = error.code or 500
    if status < 400:
        return error
    title, text = WORDS.get(status, WORDS[400] if status < 500 else WORDS[500])
    return page(status, title, text), status


def show_database_error(error: SQLAlchemyError) -> tuple[str, int]:
    """The database is away or overloaded: a page that needs none."""
    current_app.logger.error("database unreachable: %s", type(getattr(error, "orig", error)).__name__)
    _forget_person()
    return page(503, *WORDS[503]), 503


def show_crash(error: Exception) -> tuple[str, int]:
    """A mistake of ours. The log says where; the error's own text stays out of it (PostgreSQL's quotes the row)."""
    db.session.rollback()
    if current_app.testing:
        raise error
    current_app.logger.error("request %s failed: %s", g.get("request_id"), trace_of(error))
    _forget_person()
    return page(500, *WORDS[500]), 500


def page(status: int, title: str, text: str, href: str = "", press: str = "") -> str:
    """Render the one error page; without the menu where the menu itself cannot be read any more."""
    values = {"status": status, "title": title, "text": text, "href": href, "press": press}
    try:
        return render_template("errors/error.html", **values)
    except SQLAlchemyError:
        _forget_person()
        return render_template("errors/error.html", **values)


def _forget_person() -> None:
    """Show the page as to a stranger: it asks the database nothing."""
    with suppress(SQLAlchemyError):
        db.session.rollback()
    g.user_session = g.membership = None
