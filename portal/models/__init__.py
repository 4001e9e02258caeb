"""All models, one file per cluster."""

from portal.models.account import Account, Membership
from portal.models.audit import AuditEvent
from portal.models.bcc import BccAddress, OwnAddress, TrackedContact
from portal.models.bulk import Automation, Campaign, Delivery, Unsubscribe
from portal.models.connection import (
    Acknowledgement,
    AcknowledgementText,
    Connection,
    Grant,
    OAuthAttempt,
    Subscription,
    SyncGap,
)
from portal.models.contact import Contact, ContactAddress, ContactImport, Mention
from portal.models.conversation import (
    Attachment,
    Conversation,
    ConversationThread,
    Message,
    MessageBody,
    Participant,
    ThreadClaim,
)
from portal.models.decision import Decision
from portal.models.intake import IntakeMail
from portal.models.outbox import Draft, OutboxMail
from portal.models.relay import MailRelay
from portal.models.user import User, UserSession
from portal.models.work import Notice, ScheduleTick

__all__ = [
    "Account",
    "Acknowledgement",
    "AcknowledgementText",
    "Attachment",
    "AuditEvent",
    "Automation",
    "BccAddress",
    "Campaign",
    "Connection",
    "Contact",
    "ContactAddress",
    "ContactImport",
    "Conversation",
    "ConversationThread",
    "Decision",
    "Delivery",
    "Draft",
    "Grant",
    "IntakeMail",
    "MailRelay",
    "Membership",
    "Mention",
    "Message",
    "MessageBody",
    "Notice",
    "OAuthAttempt",
    "OutboxMail",
    "OwnAddress",
    "Participant",
    "ScheduleTick",
    "Subscription",
    "SyncGap",
    "ThreadClaim",
    "TrackedContact",
    "Unsubscribe",
    "User",
    "UserSession",
]
