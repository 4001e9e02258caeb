"""What was learned of a page's mails, and which of them are to be judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import select

from portal.models import Decision
from portal.providers.types import RemoteMail, Unread
from portal.rules.facts import MailFacts
from portal.rules.reasons import LOOK_AGAIN, Outcome, Reason
from portal.sync.lease import Run
from portal.sync.rows import Prepared
from portal.sync.sets import rows_among


@dataclass
class Met:
    """What was learned of a page's mails: headers of those that could be had, ids of the others."""

    mails: list[MailFacts] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)  # may be tried again
    content: dict[str, Prepared] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)  # their rows were refused: set aside at once
    moved: frozenset[str] = frozenset()  # ids that the page names because their labels changed
    settled: frozenset[str] = frozenset()  # ids of the page that need no judgement (any more)

    def note(self, found: Iterable[MailFacts | RemoteMail | Unread]) -> None:
        """Remember which could not be had."""
        for item in found:
            if isinstance(item, Unread):
                (self.gone if item.gone else self.failed).add(item.provider_message_id)

    @property
    def size(self) -> int:
        """Characters of text in hand."""
        return sum(len(p.mail.text) + len(p.mail.html) for p in self.content.values())


def may_judge(provider_id: str, reason: str | None, moved: frozenset[str], run: Run) -> bool:
    """Whether a mail is to be judged (again): a new one, a moved one, an unreadable one asked for again."""
    if reason is None:
        return True
    if provider_id in moved:
        return reason in LOOK_AGAIN
    return provider_id in run.waiting and Reason(reason).outcome is Outcome.UNREADABLE


def standing_reasons(run: Run, ids: Collection[str]) -> dict[str, str]:
    """The reasons of decisions that stand for these mails."""
    query = select(Decision.provider_message_id, Decision.reason).where(Decision.connection_id == run.connection_id)
    return dict(rows_among(query, Decision.provider_message_id, ids))
