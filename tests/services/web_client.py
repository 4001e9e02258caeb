"""A test client that behaves like another machine: each request has its own application context and session."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from werkzeug.test import TestResponse

from portal.auth import sessions
from portal.database import db
from portal.models import User

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


class PortalClient(FlaskClient):
    """Commits what the test has written before a request, forgets what it has read after it.

    An unsafe request carries a valid form token unless `csrf=False` is passed.
    """

    def open(self, *args: Any, csrf: bool = True, **kwargs: Any) -> TestResponse:
        """Send one request."""
        db.session.commit()
        if csrf and kwargs.get("method", "GET").upper() in UNSAFE:
            headers = dict(kwargs.pop("headers", None) or {})
            kwargs["headers"] = {"X-CSRFToken": self.form_token()} | headers
        with self.application.app_context():
            answer = super().open(*args, **kwargs)
        db.session.expire_all()
        return answer

    def form_token(self) -> str:
        """A form token that is valid for this client's cookie."""
        with self.application.app_context(), self.application.test_request_context():
            with self.session_transaction() as cookie:
                raw = cookie.setdefault("csrf_token", secrets.token_hex(20))
            from flask import session

            session["csrf_token"] = raw
            return generate_csrf()

    def sign_in(self, user: User, account_id: UUID | None = None) -> PortalClient:
        """Give this client a session of `user`, in their first account or the given one, without the sign-in page."""
        user_id = user.id  # reading it may begin a transaction
        db.session.commit()
        with self.application.app_context(), self.application.test_request_context():
            from flask import session

            person = db.session.get_one(User, user_id)
            row = sessions.begin(person, ip="127.0.0.1", browser="test")
            if account_id is not None:
                row.account_id = account_id
            db.session.commit()
            token = session[sessions.TOKEN]
        with self.session_transaction() as cookie:
            cookie.clear()
            cookie[sessions.TOKEN] = token
        return self
