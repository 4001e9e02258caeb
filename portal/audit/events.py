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
