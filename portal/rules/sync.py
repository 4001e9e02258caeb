"""What becomes of one mail. The order of judgement is the order of this file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from portal.rules.contacts import filing_contact, is_contact_in, is_crm_user, is_own, match_contact
from portal.rules.facts import ContactFact, ConversationFact, CrmFacts, Direction, MailFacts
from portal.rules.reasons import Outcome, Reason

ENDED = {
    "updated": Reason.OLD_ADDRESS,  # G-16
    "continued_elsewhere": Reason.CONTINUED_ELSEWHERE,
}
BEGUN_OUTSIDE = (Reason.STARTED_IN_MAILBOX, Reason.NOT_STARTED_IN_CRM)


@dataclass(frozen=True)
class Decision:
    """A mail's outcome with its one reason (E-01). Without `conversation_id` a logged mail begins a conversation."""

    reason: Reason
    contact_id: UUID | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None  # the message that this mail is already: written here, or come in another way
    mentions: tuple[tuple[UUID, str], ...] = ()  # (contact, "cc" or "bcc") (G-11)

    @property
    def outcome(self) -> Outcome:
        return self.reason.outcome


def decide(mail: MailFacts, crm: CrmFacts) -> Decision:
    """Judge one mail of a connected mailbox. Pure; every mail gets exactly one reason."""
    verdict = (
        _by_place(mail, crm)
        or _own_copy(crm)
        or _by_kind(mail, crm)
        or (_outbound(mail, crm) if mail.direction == Direction.OUTBOUND else _inbound(mail, crm))
    )
    if crm.only_crm_threads:
        verdict = _if_begun_here(verdict, crm)
    if crm.is_claimed_elsewhere and _might_go_on(verdict):
        return Decision(Reason.CONTINUED_ELSEWHERE)
    return _once(verdict, mail, crm)


def _if_begun_here(verdict: Decision, crm: CrmFacts) -> Decision:
    """Of an Outlook mailbox only threads sync that a mail from the CRM began (O-02, O-03).

    What would stay out anyway keeps its own reason. Captured mail is of no such thread, whatever the account's policy.
    """
    is_open_question = verdict.reason in (Reason.STARTED_IN_MAILBOX, Reason.CAPTURED)
    if not is_open_question and (verdict.outcome is not Outcome.LOGGED or verdict.message_id is not None):
        return verdict
    if any(c.id == verdict.conversation_id and c.began_in_crm for c in crm.candidates):
        return verdict
    is_automatic = verdict.reason is Reason.AUTOMATIC_IN_CONVERSATION
    return Decision(Reason.AUTOMATIC_REPLY if is_automatic else Reason.NOT_STARTED_IN_CRM)


def _once(verdict: Decision, mail: MailFacts, crm: CrmFacts) -> Decision:
    """The same mail is one message, though it was met in two mailboxes, or by BCC Sync before the mailbox had it.

    Mail that stays out keeps its reason, but for the user's own: a BCC address was in it, so it did come in.
    """
    if crm.met_as is None or verdict.message_id is not None:
        return verdict
    was_posted = mail.direction is Direction.OUTBOUND and verdict.reason in BEGUN_OUTSIDE
    if verdict.outcome is not Outcome.LOGGED and not was_posted:
        return verdict
    message_id, conversation_id, contact_id = crm.met_as
    return Decision(Reason.ALREADY_LOGGED, contact_id, conversation_id, message_id)


def _might_go_on(verdict: Decision) -> bool:
    """Whether a conversation would grow or begin here by this mail or its answer. Mail that never comes in keeps its own
    reason, which tells nothing of other accounts (X-02, TEN-6); so does our own mail, which was written here."""
    if verdict.reason is Reason.SENT_FROM_CRM:
        return False
    return verdict.outcome is Outcome.LOGGED or verdict.reason is Reason.STARTED_IN_MAILBOX


def _by_place(mail: MailFacts, crm: CrmFacts) -> Decision | None:
    """Where and when it lies: drafts, chats, spam and trash are no mail yet or no more; G-03."""
    if mail.is_draft:
        return Decision(Reason.DRAFT)
    if mail.is_chat:
        return Decision(Reason.CHAT)
    if mail.received_at < crm.connected_at:
        return Decision(Reason.BEFORE_CONNECTION)
    if mail.is_spam:
        return Decision(Reason.SPAM)
    if mail.is_trash:
        return Decision(Reason.TRASH)
    return None


def _own_copy(crm: CrmFacts) -> Decision | None:
    """The sent copy of a mail written in the CRM: it is there already (G-19)."""
    if crm.sent_message is None:
        return None
    message_id, conversation_id, contact_id = crm.sent_message
    return Decision(Reason.SENT_FROM_CRM, contact_id, conversation_id, message_id)


def _by_kind(mail: MailFacts, crm: CrmFacts) -> Decision | None:
    """Mail that machines wrote, and mail that cannot be read beyond doubt (G-22)."""
    if mail.is_bounce:
        return Decision(Reason.BOUNCE)
    if mail.is_receipt:
        return Decision(Reason.READ_RECEIPT)
    if mail.is_list:
        return Decision(Reason.LIST_MAIL)
    if not mail.is_readable:
        return Decision(Reason.UNREADABLE_MAIL)
    if mail.sender is None:
        return Decision(Reason.UNREADABLE_SENDER)
    if mail.is_automatic:
        return _automatic(mail, crm)
    return None


def _automatic(mail: MailFacts, crm: CrmFacts) -> Decision:
    """An automatic reply of a contact inside an open conversation is logged and marked; it begins none (G-22)."""
    sender = mail.sender.key if mail.sender else ""
    found = _joined(crm, {sender})
    if found and found.is_open and sender == found.contact_key and not is_crm_user(sender, crm):
        return _log(Reason.AUTOMATIC_IN_CONVERSATION, mail, crm, found.contact_id, found.id)
    return Decision(Reason.AUTOMATIC_REPLY)


def _inbound(mail: MailFacts, crm: CrmFacts) -> Decision:
    """G-04, G-05 second half, G-07, G-08, G-09, G-21."""
    sender = mail.sender.key if mail.sender else ""
    if is_own(sender, crm):
        return Decision(Reason.OWN_MAIL)
    if is_crm_user(sender, crm):  # whoever else is in it
        return Decision(Reason.CRM_USER)
    if (found := _joined(crm, {sender})) and (decision := _in_conversation(mail, crm, found, sender)):
        return decision
    contact = match_contact(sender, crm)
    if contact is None:
        return _nobody(mail, crm, (sender,))
    if contact.is_excluded:
        return Decision(Reason.EXCLUDED_CONTACT)
    if mail.is_automatic_forward:
        return Decision(Reason.AUTOMATIC_FORWARD)
    return _log(Reason.CONTACT_WROTE, mail, crm, contact.id)


def _in_conversation(mail: MailFacts, crm: CrmFacts, found: ConversationFact, sender: str) -> Decision | None:
    """An inbound mail of somebody whom an existing conversation knows. None: it is judged as a new mail."""
    if not found.is_open:
        # After disconnecting and connecting anew a contact's mail begins a conversation; old addresses stay ended, and at
        # Outlook old threads, too (O-05).
        return None if found.ended_cause == "disconnected" and not crm.only_crm_threads else _ended(found)
    if refused := _filter_conversation(crm, found):
        return refused
    reason = Reason.CONTACT_REPLIED if sender == found.contact_key else Reason.OTHER_REPLIED
    return _log(reason, mail, crm, found.contact_id, found.id)


def _outbound(mail: MailFacts, crm: CrmFacts) -> Decision:
    """Mail the user sent from the mailbox itself: G-05, G-06, G-07, G-21."""
    if not mail.recipients or all(is_own(person.key, crm) for person in mail.recipients):
        return Decision(Reason.OWN_MAIL if mail.recipients else Reason.NO_CONTACT)
    if mail.is_forward:
        return _forward(mail, crm)
    contact = filing_contact(mail.to, crm)
    is_tracked = contact is not None and contact.id in crm.tracked
    found = _joined(crm, {person.key for person in mail.recipients})
    if found and not (is_tracked and found.ended_cause == "disconnected"):
        if not found.is_open:
            return _ended(found)
        if refused := _filter_conversation(crm, found):
            return refused
        return _log(Reason.USER_REPLIED, mail, crm, found.contact_id, found.id)
    if contact is None:
        return _nobody(mail, crm, _keys(mail), captures=False)
    if contact.is_excluded:
        return Decision(Reason.EXCLUDED_CONTACT)
    # B-03: whom the user tracks, the user's own mail begins a conversation with.
    return _log(Reason.TRACKED_WRITTEN, mail, crm, contact.id) if is_tracked else Decision(Reason.STARTED_IN_MAILBOX)


def _forward(mail: MailFacts, crm: CrmFacts) -> Decision:
    """A forward is a sent mail to its own first contact, in that contact's conversation only (G-06, G-21)."""
    contact = filing_contact(mail.to, crm)
    if contact is None:
        return _nobody(mail, crm, _keys(mail))
    if contact.is_excluded:
        return Decision(Reason.EXCLUDED_CONTACT)
    own = next((c for c in crm.candidates if c.contact_id == contact.id and _goes_on(c, crm)), None)
    return _log(Reason.USER_FORWARDED, mail, crm, contact.id, own.id if own else None)


def _nobody(mail: MailFacts, crm: CrmFacts, keys: tuple[str, ...], *, captures: bool = True) -> Decision:
    """Nobody to file it under: say why. A contact who is merely copied makes it captured mail (G-09, R-05)."""
    if captures and is_contact_in(mail.to + mail.cc, crm):
        return Decision(Reason.CAPTURED)
    if any(is_crm_user(key, crm) for key in keys):
        return Decision(Reason.CRM_USER)
    if any(key in crm.alternates for key in keys):
        return Decision(Reason.ALTERNATE_ADDRESS)
    return Decision(Reason.NO_CONTACT)


def _keys(mail: MailFacts) -> tuple[str, ...]:
    return tuple(person.key for person in mail.to)


def _joined(crm: CrmFacts, keys: set[str]) -> ConversationFact | None:
    """The conversation a mail joins: by thread or message ids AND a participant that it knows (G-21).

    Open conversations go first; an ended one is found only when no open one knows the person.
    """
    known = [c for c in crm.candidates if c.participants & keys]
    return next((c for c in known if _goes_on(c, crm)), known[0] if known else None)


def _goes_on(found: ConversationFact, crm: CrmFacts) -> bool:
    """Whether mail of this mailbox may still come into the conversation."""
    return found.is_open and (found.began_in_crm or not crm.only_crm_threads)


def _filter_conversation(crm: CrmFacts, found: ConversationFact) -> Decision | None:
    """The filter looks at every mail, not only at the first of a conversation (G-07)."""
    if is_crm_user(found.contact_key, crm):
        return Decision(Reason.CRM_USER)
    contact = crm.contacts.get(found.contact_key)
    if contact is not None and contact.id == found.contact_id and contact.is_excluded:
        return Decision(Reason.EXCLUDED_CONTACT)
    return None


def _ended(found: ConversationFact) -> Decision:
    return Decision(ENDED.get(found.ended_cause, Reason.CONVERSATION_ENDED))


def _log(reason: Reason, mail: MailFacts, crm: CrmFacts, contact_id: UUID, conversation_id: UUID | None = None) -> Decision:
    return Decision(reason, contact_id, conversation_id, mentions=mentions_of(mail, crm.contacts, contact_id))


def mentions_of(
    mail: MailFacts, contacts: Mapping[str, ContactFact], filed_under: UUID
) -> tuple[tuple[UUID, str], ...]:
    """Contacts in CC and BCC, whose records show that fact (G-11). Nobody is ever created from there."""
    found: dict[tuple[UUID, str], None] = {}
    for name, people in (("cc", mail.cc), ("bcc", mail.bcc)):
        for person in people:
            contact: ContactFact | None = contacts.get(person.key)
            if contact is not None and contact.id != filed_under:
                found[(contact.id, name)] = None
    return tuple(found)
