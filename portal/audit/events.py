"""Every event that the audit trail knows: its name, its fields, and its sentence.

Names are subject:object:verb-past and never change their meaning. Details are ids, counts and words of the registry;
mail content, addresses of third parties and secrets have no field to stand in.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """A kind of event. `fields` are the details it must carry, all of them and no others."""

    name: str
    sentence: str
    fields: frozenset[str]


EVENTS: dict[str, Event] = {}


def _event(name: str, sentence: str, *fields: str) -> str:
    if name in EVENTS:
        raise ValueError(f"audit event {name} is registered twice")
    EVENTS[name] = Event(name, sentence, frozenset(fields))
    return name


SIGNED_IN = _event("person:session:started", "signed in")
SIGN_IN_FAILED = _event("person:session:refused", "could not sign in: {cause}", "cause")
SIGNED_OUT = _event("person:session:ended", "signed out: {cause}", "cause")
ACCOUNT_SWITCHED = _event("person:account:switched", "switched to this location")
ACCESS_REFUSED = _event("person:page:refused", "was refused {endpoint}: {cause}", "endpoint", "cause")

RISKS_SHOWN = _event("person:acknowledgement:shown", "was shown the risks, version {version}", "provider", "version")
RISKS_ACKNOWLEDGED = _event(
    "person:acknowledgement:signed", "read, ticked and signed the risks, version {version}",
    "provider", "version", "sha256", "items",
)  # fmt: skip
RISKS_DECLINED = _event("person:acknowledgement:declined", "kept standard email", "provider", "version")
ACKNOWLEDGEMENTS_EXPORTED = _event("person:acknowledgements:exported", "exported {rows} acknowledgements", "rows")
CONNECT_STARTED = _event("person:connection:started", "went to {provider} for consent ({purpose})", "provider", "purpose")
CONNECT_REFUSED = _event("person:connection:refused", "could not connect {provider}: {cause}", "provider", "cause")
CONNECTED = _event("person:connection:connected", "connected a {provider} mailbox ({purpose})", "provider", "purpose")
CONNECTION_UPDATED = _event("person:connection:updated", "swapped the mailbox for another", "provider", "old_id")
DISCONNECTED = _event("person:connection:disconnected", "disconnected the mailbox ({cause})", "provider", "cause")
GRANT_REVOKED = _event("portal:grant:revoked", "the access was given back to {provider}: {result}", "provider", "result")
ATTENTION_NEEDED = _event("portal:connection:needs-attention", "the mailbox needs attention: {cause}", "cause")
ATTENTION_RESOLVED = _event("portal:connection:resolved", "the mailbox works again")
CONNECTION_PAUSED = _event("portal:connection:paused", "the mailbox was paused: {cause}", "cause")
SYNC_REFUSED = _event("portal:sync:refused", "the sync was refused: {cause}", "cause")
PAGE_SYNCED = _event("portal:page:synced", "{seen} mails met, {logged} logged", "seen", "logged", "left_out", "unreadable")
GAP_RECORDED = _event("portal:gap:recorded", "history was lost ({cause}); {found} mails found again", "cause", "found")

CONVERSATION_READ = _event("person:conversation:read", "read the conversation", "messages")
CONVERSATION_ENDED = _event("portal:conversation:ended", "{count} conversations ended: {cause}", "cause", "count")
CONVERSATIONS_LISTED = _event("person:conversations:listed", "listed conversations", "shown")
ATTACHMENT_READ = _event("person:attachment:read", "opened an attachment")
MAIL_PREPARED = _event("person:mail:prepared", "wrote an individual mail ({kind})", "kind", "path")
MAIL_REFUSED = _event("person:mail:refused", "could not send an individual mail: {cause}", "cause")
MAIL_SENT = _event("portal:mail:sent", "an individual mail left through {path}", "path")
MAIL_FAILED = _event("portal:mail:failed", "an individual mail could not be sent: {cause}", "cause")

MAIL_QUEUED = _event("person:mail:queued", "let an individual mail wait for {waits_for}", "waits_for")
MAIL_CANCELLED = _event("person:mail:cancelled", "took back an individual mail that waited")
MAIL_DECLARED = _event("person:mail:declared", "said of an uncertain mail: {said}", "said")
PROVIDER_CAP_MET = _event("portal:connection:capped", "the provider takes no more mail of the mailbox for now")
THREAD_CLAIMED = _event("person:conversation:claimed", "replied first: the conversation goes on in this location")
ROUTED_MAIL_DECIDED = _event("portal:intake:decided", "mail to a routed address: {decided} ({reason})", "decided", "reason")
INTAKE_LISTED = _event("person:intake:listed", "listed what came to routed addresses", "shown")

RELAY_CHANGED = _event("person:relay:changed", "changed the practice's mail server", "changed")
RELAY_TESTED = _event("person:relay:tested", "tested the practice's mail server: {result}", "result")
RELAY_REMOVED = _event("person:relay:removed", "took the practice's mail server out of use")

CAMPAIGNS_LISTED = _event("person:campaigns:listed", "listed campaigns", "shown")
CAMPAIGN_READ = _event("person:campaign:read", "opened a campaign")
CAMPAIGN_SAVED = _event("person:campaign:saved", "saved a campaign")
CAMPAIGN_TESTED = _event("person:campaign:tested", "sent a campaign to themself as a test: {result}", "result")
CAMPAIGN_STARTED = _event("person:campaign:started", "started a campaign to {recipients} people", "recipients", "sender")
CAMPAIGN_PAUSED = _event("person:campaign:paused", "paused a campaign")
CAMPAIGN_RESUMED = _event("person:campaign:resumed", "resumed a campaign")
CAMPAIGN_STOPPED = _event("person:campaign:stopped", "stopped a campaign for good", "left")
CAMPAIGN_FINISHED = _event(
    "portal:campaign:finished", "finished a campaign: {sent} sent, {failed} failed", "sent", "failed", "skipped", "unknown",
)  # fmt: skip
DELIVERY_DECLARED = _event("person:delivery:declared", "said of {count} uncertain mails: {said}", "said", "count")
RECIPIENTS_EXPORTED = _event("person:recipients:exported", "exported the recipients of a campaign", "rows")
DELIVERIES_SENT = _event(
    "portal:deliveries:sent", "{sent} mails left, {failed} failed", "sent", "failed", "skipped", "unknown",
)  # fmt: skip
AUTOMATIONS_LISTED = _event("person:automations:listed", "listed automations", "shown")
AUTOMATION_READ = _event("person:automation:read", "opened an automation")
AUTOMATION_SAVED = _event("person:automation:saved", "saved an automation")
AUTOMATION_SWITCHED = _event("person:automation:switched", "switched an automation {state}", "state")
UNSUBSCRIBED = _event("recipient:campaigns:unsubscribed", "wants no more campaigns", "source")
SUBSCRIBED_AGAIN = _event("recipient:campaigns:subscribed-again", "wants campaigns again", "source")

CONTACTS_LISTED = _event("person:contacts:listed", "listed contacts", "shown")
CONTACT_READ = _event("person:contact:read", "opened the contact")
CONTACT_CREATED = _event("person:contact:created", "created the contact", "source")
CONTACT_CHANGED = _event("person:contact:changed", "changed the contact", "changed")
CONTACTS_IMPORT_STARTED = _event("person:import:started", "started an import of contacts", "rows")
CONTACTS_IMPORTED = _event("portal:import:finished", "imported contacts", "created", "skipped", "failed")
CONTACTS_IMPORT_DROPPED = _event("person:import:dropped", "dropped an import before it was run")
IMPORT_ERRORS_TAKEN = _event("person:import-errors:exported", "took the row errors of an import as a file", "rows")
POLICY_CHANGED = _event("person:policy:changed", "changed the practice's rules", "changed")
KEYS_ROTATED = _event("operator:keys:rotated", "sealed {count} values with the current key", "key", "count")

BCC_ADDRESS_MADE = _event("person:bcc-address:made", "has a BCC address now")
BCC_ADDRESS_REPLACED = _event("person:bcc-address:replaced", "replaced the BCC address; the old one stopped")
BCC_REFUSED = _event("portal:bcc:refused", "a mail to the BCC address was refused: {cause}", "cause")
BCC_WAITS = _event("portal:bcc:waits", "a mail to the BCC address waits for its owner: {reason}", "reason")
BCC_DECIDED = _event("person:bcc:decided", "decided on a waiting mail: {step}", "step")
BCC_LISTED = _event("person:bcc:listed", "looked at mails that wait at the BCC address", "shown")
TRACKING_BEGUN = _event("portal:tracking:begun", "tracks the contact since a mail with the BCC address")
TRACKING_STOPPED = _event("person:tracking:stopped", "stopped tracking the contact")
OWN_ADDRESS_ADDED = _event("person:own-address:added", "asked for a code to verify an address")
OWN_ADDRESS_VERIFIED = _event("person:own-address:verified", "verified an address as their own")
OWN_ADDRESS_REMOVED = _event("person:own-address:removed", "removed an address of their own")
