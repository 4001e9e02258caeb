"""People for the tests of connecting: somebody who may, who has signed, who is on the way to a provider."""

from __future__ import annotations

from typing import Any

from portal.connections import acknowledgements
from portal.database import db
from portal.models import Account, Acknowledgement, Connection, User
from portal.rules.acknowledgement import RISKS
from tests.connections.consent import callback_path, consent
from tests.factories import make_account, make_member
from tests.services.programs import Sandbox

MAILBOX = "owen@lumen.example"


def make_signature(user: User, account: Account, version: int | None = None, provider: str = "google") -> Acknowledgement:
    """A signature under the newest text, or under `version`."""
    text = acknowledgements.current_text()
    row = Acknowledgement(
        account_id=account.id, user_id=user.id, provider=provider, text_version=version or text.version,
        text_sha256=text.sha256, items=list(RISKS), typed_name=user.name, ip="127.0.0.1", browser="test",
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row


def make_signer(name: str = "Owen Castellano", *, account: Account | None = None, **values: Any) -> tuple[Account, User]:
    """A provider who has signed the newest text, for Gmail unless `provider` says another."""
    account = account or make_account()
    provider = values.pop("provider", "google")
    user = make_member(account, values.pop("role", "provider"), name=name, **values)
    make_signature(user, account, provider=provider)
    return account, user


def sign_form(name: str, *, purpose: str = "connect", risks: tuple[str, ...] = RISKS) -> dict[str, Any]:
    """The form of the risks page as a browser sends it."""
    return {"risk": list(risks), "typed_name": name, "purpose": purpose}


def start(client: Any, purpose: str = "connect", provider: str = "google") -> str:
    """Press the button; returns where the browser is sent."""
    answer = client.post(f"/connections/{provider}/begin", data={"purpose": purpose})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def finish(client: Any, url: str) -> Any:
    """Let the browser come back from the provider."""
    return client.get(callback_path(url))


def connect(
    client: Any, sandbox: Sandbox, mailbox: str = MAILBOX, purpose: str = "connect", provider: str = "google",
    **choices: Any,
) -> Any:  # fmt: skip
    """The whole way as a signed-in person; returns the callback's answer."""
    return finish(client, consent(sandbox, start(client, purpose, provider), mailbox, **choices))


def live(user: User) -> Connection | None:
    """The person's live connection, read anew."""
    db.session.expire_all()
    return db.session.query(Connection).filter_by(user_id=user.id, disconnected_at=None).one_or_none()
