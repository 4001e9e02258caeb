"""Every reason the portal gives: why a mail is or is not in the CRM, why a file was left out, why a connection stands.

A reason is stored as its word and shown as its sentence; {contact} in a sentence is filled in where one is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portal.rules.connecting import PROVIDERS


class Outcome(StrEnum):
    """What became of a mail (E-01). Held is a policy waiting for a person; unreadable could not be parsed."""

    LOGGED = "logged"
    LEFT_OUT = "left_out"
    HELD = "held"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Explanation:
    """A reason in words: the sentence of the list, and what to press next ("" for nothing)."""

    outcome: Outcome
    sentence: str
    press: str = ""


class Reason(StrEnum):
    """Why a mail is, or is not, in the CRM."""

    CONTACT_WROTE = "contact_wrote"
    CONTACT_REPLIED = "contact_replied"
    OTHER_REPLIED = "other_replied"
    USER_REPLIED = "user_replied"
    USER_FORWARDED = "user_forwarded"
    SENT_FROM_CRM = "sent_from_crm"
    AUTOMATIC_IN_CONVERSATION = "automatic_in_conversation"

    BEFORE_CONNECTION = "before_connection"
    DRAFT = "draft"
    CHAT = "chat"
    SPAM = "spam"
    TRASH = "trash"
    DELETED = "deleted"
    OWN_MAIL = "own_mail"
    CRM_USER = "crm_user"
    NO_CONTACT = "no_contact"
    ALTERNATE_ADDRESS = "alternate_address"
    EXCLUDED_CONTACT = "excluded_contact"
    STARTED_IN_MAILBOX = "started_in_mailbox"
    AUTOMATIC_FORWARD = "automatic_forward"
    LIST_MAIL = "list_mail"
    READ_RECEIPT = "read_receipt"
    BOUNCE = "bounce"
    AUTOMATIC_REPLY = "automatic_reply"
    CAPTURED = "captured"
    OLD_ADDRESS = "old_address"
    CONTINUED_ELSEWHERE = "continued_elsewhere"
    CONVERSATION_ENDED = "conversation_ended"
    ROUTED_REPLY = "routed_reply"
    ROUTED_AUTOMATIC = "routed_automatic"
    UNKNOWN_SENDER = "unknown_sender"
    LOOP = "loop"
    DELAY_REPORT = "delay_report"
    ALREADY_LOGGED = "already_logged"
    TRACKED_WRITTEN = "tracked_written"
    BCC_LOGGED = "bcc_logged"
    BCC_OF_CRM_MAIL = "bcc_of_crm_mail"
    NOT_STARTED_IN_CRM = "not_started_in_crm"
    UNVERIFIED = "unverified"
    UNMATCHED = "unmatched"
    DROPPED_BY_OWNER = "dropped_by_owner"
    FOREIGN_SENDER = "foreign_sender"
    UNREADABLE_SENDER = "unreadable_sender"
    UNREADABLE_MAIL = "unreadable_mail"

    @property
    def outcome(self) -> Outcome:
        return EXPLAINED[self].outcome

    @property
    def sentence(self) -> str:
        return EXPLAINED[self].sentence

    @property
    def press(self) -> str:
        return EXPLAINED[self].press


def _logged(sentence: str) -> Explanation:
    return Explanation(Outcome.LOGGED, sentence, "Open conversation")


def _left_out(sentence: str, press: str = "") -> Explanation:
    return Explanation(Outcome.LEFT_OUT, sentence, press)


EXPLAINED: dict[Reason, Explanation] = {
    Reason.CONTACT_WROTE: _logged("{contact} wrote to you from their primary address."),
    Reason.CONTACT_REPLIED: _logged("{contact} answered in a thread the CRM knows."),
    Reason.OTHER_REPLIED: _logged("Somebody in the conversation with {contact} answered."),
    Reason.USER_REPLIED: _logged("You answered {contact} from your mailbox, in a thread the CRM knows."),
    Reason.USER_FORWARDED: _logged("You forwarded a mail to {contact}."),
    Reason.SENT_FROM_CRM: _logged("You wrote it to {contact} in the CRM."),
    Reason.AUTOMATIC_IN_CONVERSATION: _logged("An automatic reply of {contact}, in a thread the CRM knows."),
    Reason.BEFORE_CONNECTION: _left_out("It is older than this connection. Nothing older is ever imported."),
    Reason.DRAFT: _left_out("A draft. It counts when it is sent."),
    Reason.CHAT: _left_out("A chat message, not a mail."),
    Reason.SPAM: _left_out("Your mailbox took it for spam. Move it to the inbox there and it is looked at again."),
    Reason.TRASH: _left_out("It was in your mailbox’s trash when it was met."),
    Reason.DELETED: _left_out("It was gone from your mailbox before it could be read."),
    Reason.OWN_MAIL: _left_out("You wrote it to yourself."),
    Reason.CRM_USER: _left_out("The other person is also a CRM user here. Such mail is never logged."),
    Reason.NO_CONTACT: _left_out("No contact has this as their primary address.", "Find out why"),
    Reason.ALTERNATE_ADDRESS: _left_out("This address is on a contact’s record, but not as the primary one."),
    Reason.EXCLUDED_CONTACT: _left_out("This contact is excluded from sync."),
    Reason.STARTED_IN_MAILBOX: _left_out("This thread began outside the CRM. It starts here when the contact answers."),
    Reason.AUTOMATIC_FORWARD: _left_out("Another mailbox forwarded it to you by a rule. Only direct mail is logged."),
    Reason.LIST_MAIL: _left_out("A newsletter or a mailing list."),
    Reason.READ_RECEIPT: _left_out("A read receipt."),
    Reason.BOUNCE: _left_out("A delivery report. The mail it speaks of is marked as failed."),
    Reason.AUTOMATIC_REPLY: _left_out("An automatic reply."),
    Reason.CAPTURED: _left_out("A contact was only copied on mail between other people. Such mail stays out."),
    Reason.OLD_ADDRESS: _left_out("It belongs to a thread on your former address."),
    Reason.CONTINUED_ELSEWHERE: _left_out("The conversation goes on in another account."),
    Reason.CONVERSATION_ENDED: _left_out("The conversation has ended here."),
    Reason.ROUTED_REPLY: _logged("{contact} answered a mail that left through the practice’s mail server."),
    Reason.ROUTED_AUTOMATIC: _logged("An automatic reply of {contact} to a mail from the CRM."),
    Reason.UNKNOWN_SENDER: _left_out("Somebody whom this conversation does not know wrote to its address."),
    Reason.LOOP: _left_out("It went in a circle between mail programs."),
    Reason.ALREADY_LOGGED: _logged("It came in another way already, and stands once in the conversation with {contact}."),
    Reason.TRACKED_WRITTEN: _logged("You wrote to {contact}, whom you track by BCC Sync."),
    Reason.BCC_LOGGED: _logged("You put your BCC address into a mail to {contact}."),
    Reason.BCC_OF_CRM_MAIL: _logged("You wrote it to {contact} in the CRM; the copy changes nothing."),
    Reason.NOT_STARTED_IN_CRM: _left_out("This thread did not begin with a mail from the CRM. Outlook syncs only those."),
    Reason.UNVERIFIED: Explanation(
        Outcome.HELD, "It says that it comes from you, and nothing proves it. You decide.", "Decide"
    ),
    Reason.UNMATCHED: Explanation(Outcome.HELD, "None of the people in To is a contact. You decide.", "Decide"),
    Reason.DROPPED_BY_OWNER: _left_out("You left it out."),
    Reason.FOREIGN_SENDER: _left_out("Somebody else wrote to your BCC address. Nothing of it was kept."),
    Reason.DELAY_REPORT: _left_out("A report that a mail is late. It is still under way."),
    Reason.UNREADABLE_SENDER: Explanation(
        Outcome.UNREADABLE, "Its sender could not be read beyond doubt, so it was not filed.", "Try again"
    ),
    Reason.UNREADABLE_MAIL: Explanation(
        Outcome.UNREADABLE, "It could not be read. It is still in your mailbox and can be fetched again.", "Try again"
    ),
}

LOOK_AGAIN = frozenset({Reason.SPAM, Reason.TRASH, Reason.DRAFT})
"""Reasons that a move in the mailbox may lift: such mail is decided anew when its labels change."""


class FileReason(StrEnum):
    """Why a file of a logged mail is not in the CRM, or may not be opened."""

    TOO_LARGE = "too_large"
    TOO_LARGE_ANSWER = "too_large_answer"
    DISGUISED = "disguised"
    DANGEROUS = "dangerous"
    NOT_FETCHED = "not_fetched"
    NOT_STORED = "not_stored"
    MISSING = "missing"
    TOO_LARGE_OUTLOOK = "too_large_outlook"
    TYPE_NOT_SYNCED = "type_not_synced"

    @property
    def sentence(self) -> str:
        return FILE_SENTENCES[self]


FILE_SENTENCES: dict[FileReason, str] = {
    FileReason.TOO_LARGE: "Sync takes up to 25 MB of files per mail. Your mailbox still has it.",
    FileReason.TOO_LARGE_ANSWER: "An answer takes up to 25 MB of files. Ask for this one in another way.",
    FileReason.DISGUISED: "Its content is not what its name says. It is kept out of reach.",
    FileReason.DANGEROUS: "This kind of file can run a program. It is kept out of reach.",
    FileReason.TOO_LARGE_OUTLOOK: "Outlook sync takes files up to 3 MB each. Your mailbox still has it.",
    FileReason.TYPE_NOT_SYNCED: "Outlook sync does not take this type of file. Your mailbox still has it.",
    FileReason.NOT_FETCHED: "The mail provider did not hand it over. Your mailbox still has it.",
    FileReason.NOT_STORED: "It could not be stored here. Your mailbox still has it.",
    FileReason.MISSING: "The stored file cannot be found. Your mailbox may still have it.",
}


class Cause(StrEnum):
    """Why a connection is paused or needs attention (G-18)."""

    REVOKED = "revoked"
    LOGIN_REQUIRED = "login_required"
    PERMISSION_MISSING = "permission_missing"
    REFUSED_BY_ADMIN = "refused_by_provider_admin"
    MAILBOX_GONE = "mailbox_gone"
    ACKNOWLEDGEMENT_MISSING = "acknowledgement_missing"
    PAUSED_BY_ADMIN = "paused_by_admin"
    MEMBERSHIP_ENDED = "membership_ended"

    def sentence_of(self, provider: str) -> str:
        """Why, in words, for a mailbox at this provider ("google", "microsoft")."""
        names = PROVIDERS[provider]
        return CAUSE_SENTENCES[self].format(
            company=names.company, service=names.service, organization=names.organization
        )


CAUSE_SENTENCES: dict[Cause, str] = {
    Cause.REVOKED: "{company} no longer accepts the access: the password was changed, or the app was removed at {company}.",
    Cause.LOGIN_REQUIRED: "{company} asks you to sign in again before mail can be read.",
    Cause.PERMISSION_MISSING: "A permission that sync needs is no longer granted at {company}.",
    Cause.REFUSED_BY_ADMIN: "The administrator of your {organization} does not allow this app.",
    Cause.MAILBOX_GONE: "{company} says that this account has no {service} mailbox any more.",
    Cause.ACKNOWLEDGEMENT_MISSING: "The risk text has changed and you have not read the new one yet.",
    Cause.PAUSED_BY_ADMIN: "An admin of your practice has paused it.",
    Cause.MEMBERSHIP_ENDED: "You no longer work in this account.",
}
