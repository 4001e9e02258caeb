"""The risk acknowledgement: its text, who has signed it, and the gate that stands before every connection (H-01 to H-07).

The text of a version is a file (templates/acknowledgement/<version>.html). It enters the database, with the SHA-256 of its
exact bytes, before it is first shown, and from then on the database's copy is what is shown: what was signed can be read for
good. Marks like <!-- own:a --> are places where a page puts the practice's own figure or a box; they belong to the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from flask import current_app
from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.audit import events
from portal.audit.caller import current_caller
from portal.audit.service import record
from portal.connections.queries import live_connection
from portal.connections.service import resolve_attention
from portal.database import db
from portal.errors import DomainError
from portal.lib.clock import now
from portal.models import Account, Acknowledgement, AcknowledgementText, Connection, User
from portal.rules.acknowledgement import RISKS, Standing, find_missing, grace_end, judge_standing
from portal.rules.connecting import PROVIDERS
from portal.rules.reasons import Cause

MARK = re.compile(r"<!-- (\w+:\w+) -->")
RISKS_PAGE = "/connections/{}/risks"  # of a provider


class AcknowledgementNeeded(DomainError):
    """The newest risk text has not been signed by this very person for this account and provider (H-07)."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Read the risks first"

    def __init__(self, standing: Standing, provider: str) -> None:
        service = PROVIDERS[provider].service
        text = (
            f"You have not read and signed the risks of two-way sync with {service} for this location yet. "
            "Nothing was connected."
            if standing is Standing.MISSING
            else "The risk text has changed since you signed it. Nothing was connected. Read the new text and sign it."
        )
        href = RISKS_PAGE.format(provider)
        super().__init__(text, cause=f"acknowledgement_{standing.value}", href=href, press="Read the six risks")


class TextChanged(DomainError):
    """The page that was signed shows an older text than the newest: nobody signs what they have not seen (ACK-6)."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "The text has changed"


class NotSigned(DomainError):
    """A box is not ticked, or the typed name is not the person's own. `message` says what to do."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Not signed yet"


def current_text() -> AcknowledgementText:
    """The newest text. A version that is new with this release is stored before anybody is shown it."""
    newest = max(_files(), default=0)
    row = _newest_row()
    if newest and (row is None or row.version < newest):
        _publish(newest)
        row = _newest_row()
    if row is None:
        raise LookupError("there is no acknowledgement text")
    return row


def _files() -> dict[int, Path]:
    folder = Path(current_app.root_path) / "templates" / "acknowledgement"
    return {int(path.stem): path for path in folder.glob("*.html") if path.stem.isdigit()}


def _newest_row() -> AcknowledgementText | None:
    return db.session.scalar(select(AcknowledgementText).order_by(AcknowledgementText.version.desc()).limit(1))


def _publish(version: int) -> None:
    """Store a version; another process may do so in the same moment, and then its row is the one."""
    html = _files()[version].read_bytes().decode("utf-8")
    row = AcknowledgementText(version=version, html=html, sha256=text_hash(html))
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        current_app.logger.info("acknowledgement text %s was stored by another process", version)


def text_hash(html: str) -> str:
    """The SHA-256 of a text's exact bytes, in hex."""
    return hashlib.sha256(html.encode("utf-8")).hexdigest()


def fill(html: str, piece: Callable[[str], Markup | str]) -> Markup:
    """The text with each of its marks ("own:a" and so on) replaced by what `piece` gives for it; "" leaves it empty."""
    return Markup(MARK.sub(lambda match: str(escape(piece(match[1]))), html))  # noqa: S704  our own text


def show_text(provider: str) -> AcknowledgementText:
    """The newest text for the caller to read; that it was shown is recorded."""
    text = current_text()
    record(events.RISKS_SHOWN, text, account_id=current_caller().account_id, provider=provider, version=text.version)
    return text


def require_shown(version: str, provider: str) -> None:
    """Raises TextChanged where a page said which version it showed, and it is not the newest. The version that is stored is
    the server's own in any case."""
    if version and version != str(current_text().version):
        text = "The risk text has changed since you opened the page. Nothing was signed. Read the new text and sign that."
        href = RISKS_PAGE.format(provider)
        raise TextChanged(text, cause="acknowledgement_text_changed", href=href, press="Read the new text")


def sign(user: User, account_id: UUID, provider: str, *, ticked: list[str], typed_name: str) -> Acknowledgement:
    """Store a signature under the newest text. Whatever else the browser sent has no say: version, hash, time, address
    and person are the server's own. A sync that waited for it goes on. Raises NotSigned.
    """
    missing = find_missing(ticked, typed_name, user.name)
    if missing:
        raise NotSigned(f"To continue: {missing.sentence(user.name)}.", cause="acknowledgement_incomplete")
    text, caller = current_text(), current_caller()
    row = Acknowledgement(
        account_id=account_id,
        user_id=user.id,
        provider=provider,
        text_version=text.version,
        text_sha256=text.sha256,
        items=list(RISKS),
        typed_name=" ".join(typed_name.split())[:200],
        ip=caller.ip,
        browser=caller.browser,
        session_id=caller.session_id,
    )
    db.session.add(row)
    db.session.flush()
    record(events.RISKS_ACKNOWLEDGED, row, provider=provider, version=text.version, sha256=text.sha256, items=row.items)
    _go_on(account_id, user.id, provider)
    return row


def _go_on(account_id: UUID, user_id: UUID, provider: str) -> None:
    connection = live_connection(account_id, user_id, lock=True)
    if connection is None or connection.provider != provider:
        return
    if connection.cause == Cause.ACKNOWLEDGEMENT_MISSING:
        resolve_attention(connection)


def decline(provider: str) -> None:
    """The person keeps standard email: nothing changes, and that it was chosen is recorded."""
    text = current_text()
    record(events.RISKS_DECLINED, text, account_id=current_caller().account_id, provider=provider, version=text.version)


def newest_signature(user_id: UUID, account_id: UUID, provider: str) -> Acknowledgement | None:
    """The person's signature under the highest version, in this account and for this provider."""
    query = (
        select(Acknowledgement)
        .where(
            Acknowledgement.user_id == user_id,
            Acknowledgement.account_id == account_id,
            Acknowledgement.provider == provider,
        )
        .order_by(Acknowledgement.text_version.desc(), Acknowledgement.created_at.desc(), Acknowledgement.id.desc())
    )
    return db.session.scalar(query.limit(1))


def published_versions() -> dict[int, datetime]:
    """When each version was first stored; the newest file's is stored by asking."""
    current_text()
    query = select(AcknowledgementText.version, AcknowledgementText.created_at)
    return {row.version: row.created_at for row in db.session.execute(query)}


def standing(user_id: UUID, account_id: UUID, provider: str) -> Standing:
    """What the person's signature is worth now in this account."""
    row = newest_signature(user_id, account_id, provider)
    account = db.session.get_one(Account, account_id)
    signed = row.text_version if row else None
    return judge_standing(signed, published_versions(), account.acknowledgement_grace_days, now())


def grace_ends(user_id: UUID, account_id: UUID, provider: str) -> datetime | None:
    """When the sync of somebody whose signature is outdated pauses; None where it is current or missing."""
    row = newest_signature(user_id, account_id, provider)
    if row is None:
        return None
    account = db.session.get_one(Account, account_id)
    return grace_end(row.text_version, published_versions(), account.acknowledgement_grace_days)


def require_current(user_id: UUID, account_id: UUID, provider: str) -> None:
    """Raises AcknowledgementNeeded unless this very person has signed the newest text here (H-07)."""
    found = standing(user_id, account_id, provider)
    if not found.allows_connect:
        raise AcknowledgementNeeded(found, provider)


def may_sync(connection: Connection) -> bool:
    """Whether the owner's signature still carries a sync: newest, or the former within its grace (H-07)."""
    return standing(connection.user_id, connection.account_id, connection.provider).allows_sync
