"""What becomes of a mail that came to an address of the portal's own. The order of judgement is the order of this file.

An answer comes to a conversation's address (S-01), a delivery report to the address of one mail (G-22). Nothing is ever
answered by mail (RFC 3834), and a mail that goes in a circle is stopped at its first return (SMT-4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from portal.rules.addresses import mailbox_of
from portal.rules.bounces import Report, ReportFacts
from portal.rules.facts import ContactFact, ConversationFact, MailFacts
from portal.rules.reasons import Reason
from portal.rules.routing import Route
from portal.rules.sync import ENDED, Decision, mentions_of

MOST_HOPS = 50  # Received fields; RFC 5321 6.3 asks for at least 100, real ways have ten


@dataclass(frozen=True)
class RoutedFacts:
    """What is known around one mail to one routed address."""

    route: Route
    conversation: ConversationFact | None = None  # of a reply address
    user_keys: frozenset[str] = frozenset()  # everybody of the account and its own addresses, as canonical keys
    contacts: Mapping[str, ContactFact] = field(default_factory=dict)  # by primary address
    has_null_sender: bool = False  # MAIL FROM:<>, as machines write (RFC 5321 4.5.5)
    hops: int = 0
    is_own_mail: bool = False  # it bears the mark of a mail of ours and is no answer to it
    report: ReportFacts | None = None
    logged_as: UUID | None = None  # the message as which it came in through the mailbox already


def decide_routed(mail: MailFacts, around: RoutedFacts) -> Decision:
    """Judge one mail to a routed address. Pure; every mail gets exactly one reason."""
    return (
        _circle(around)
        or _report(mail, around)
        or _unreadable(mail)
        or _by_kind(mail, around)
        or _by_sender(mail, around)
        or _in_conversation(mail, around)
    )


def _circle(around: RoutedFacts) -> Decision | None:
    """Our own mail, sent back by somebody's rule, or a mail that has come through too many hands (SMT-4)."""
    return Decision(Reason.LOOP) if around.is_own_mail or around.hops > MOST_HOPS else None


def _report(mail: MailFacts, around: RoutedFacts) -> Decision | None:
    """Reports of mail servers and mail programs (RFC 3464, RFC 8098)."""
    if around.report is not None:
        reasons = {Report.FAILED: Reason.BOUNCE, Report.DELAYED: Reason.DELAY_REPORT, Report.DELIVERED: Reason.READ_RECEIPT}
        return Decision(reasons[around.report.report])
    if mail.is_bounce:
        return Decision(Reason.BOUNCE)
    return Decision(Reason.READ_RECEIPT) if mail.is_receipt else None


def _unreadable(mail: MailFacts) -> Decision | None:
    if not mail.is_readable:
        return Decision(Reason.UNREADABLE_MAIL)
    return Decision(Reason.UNREADABLE_SENDER) if mail.sender is None else None


def _by_kind(mail: MailFacts, around: RoutedFacts) -> Decision | None:
    """Newsletters; and whatever else comes to an address that is for reports only."""
    if mail.is_list and not (is_automatic(mail, around) and _is_known(mail, around)):  # many absence notes say "bulk"
        return Decision(Reason.LIST_MAIL)
    if around.conversation is None:
        return Decision(Reason.AUTOMATIC_REPLY if is_automatic(mail, around) else Reason.UNKNOWN_SENDER)
    return None


def _by_sender(mail: MailFacts, around: RoutedFacts) -> Decision | None:
    """Colleagues, the owner writing from elsewhere, and people whom the conversation does not know (G-07, G-21)."""
    key = _sender(mail)
    if key in around.user_keys or mailbox_of(key) in around.user_keys:
        return Decision(Reason.CRM_USER)
    if not _is_known(mail, around):
        return Decision(Reason.AUTOMATIC_REPLY if is_automatic(mail, around) else Reason.UNKNOWN_SENDER)
    return None


def _in_conversation(mail: MailFacts, around: RoutedFacts) -> Decision:
    """An answer of somebody whom the conversation knows."""
    found = around.conversation
    if found is None:
        return Decision(Reason.UNKNOWN_SENDER)
    if not found.is_open:
        return Decision(ENDED.get(found.ended_cause, Reason.CONVERSATION_ENDED))
    is_contact = _sender(mail) == found.contact_key
    if is_automatic(mail, around) and not is_contact:
        return Decision(Reason.AUTOMATIC_REPLY)
    reason = Reason.ROUTED_REPLY if is_contact else Reason.OTHER_REPLIED
    if is_automatic(mail, around):
        reason = Reason.ROUTED_AUTOMATIC
    mentions = mentions_of(mail, around.contacts, found.contact_id)
    return Decision(reason, found.contact_id, found.id, around.logged_as, mentions)


def is_automatic(mail: MailFacts, around: RoutedFacts) -> bool:
    """Whether a machine wrote it; an empty envelope sender says so, too (RFC 3834 3.3)."""
    return mail.is_automatic or around.has_null_sender


def _is_known(mail: MailFacts, around: RoutedFacts) -> bool:
    return around.conversation is not None and _sender(mail) in around.conversation.participants


def _sender(mail: MailFacts) -> str:
    return mail.sender.key if mail.sender else ""
