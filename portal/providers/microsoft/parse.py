"""Graph's JSON to the portal's types. Pure, bounded, and never raising on what a stranger may send.

Source: the message and attachment resources of Graph. What the header fields of a mail say is read from the fields that
Graph kept (internetMessageHeaders); a sent copy keeps hardly any, so what lacks is made up from Graph's own properties.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portal.providers.headers import fields_of, read_facts, subject_of
from portal.providers.parts import WHOLE, PartReader
from portal.providers.types import RemoteFile, RemoteMail
from portal.rules.addresses import canonical_key
from portal.rules.facts import Direction, MailFacts

MARK = "String {7e5b1c0a-52d4-4a3f-9f0e-6c1d2a8b4e77} Name CrmRef"  # our reference as a property of the message in Exchange
HEADER_MARK = "String {00020386-0000-0000-C000-000000000046} Name x-crm-ref"  # the header field, as Exchange keeps it
BEFORE_ALL = datetime.fromtimestamp(0, UTC)
OUTSIDE = frozenset({"inbox", "junkemail"})  # folders that mail comes into from elsewhere
ITEM = "#microsoft.graph.itemAttachment"

HEADER_FIELDS = (
    "id,conversationId,internetMessageId,parentFolderId,isDraft,receivedDateTime,sentDateTime,subject,from,toRecipients,"
    "ccRecipients,bccRecipients,internetMessageHeaders"
)
BODY_FIELDS = f"{HEADER_FIELDS},body,hasAttachments"
FILE_FIELDS = "id,name,contentType,size,isInline,microsoft.graph.fileAttachment/contentId"
EXPAND_MARK = f"singleValueExtendedProperties($filter=id eq '{MARK}')"

Json = dict[str, Any]


def facts_of(message: Json, own_keys: frozenset[str], folders: dict[str, str]) -> MailFacts:
    """The facts of a message. `folders` gives the well-known name of a folder by its id."""
    pairs = header_pairs(message)
    headers = fields_of(pairs)
    folder = folders.get(str(message.get("parentFolderId") or ""), "")
    was_received = any(name.lower() == "received" for name, _ in pairs)
    direction = _direction(message, folder, own_keys, was_received=was_received)
    moment = message.get("sentDateTime") if direction == Direction.OUTBOUND else None
    place: Json = {
        "provider_message_id": str(message["id"]),
        "provider_thread_id": str(message.get("conversationId") or message["id"]),
        "direction": direction,
        "received_at": moment_of(moment or message.get("receivedDateTime")),
        "is_draft": message.get("isDraft") is True,
        "is_spam": folder == "junkemail",
        "is_trash": folder == "deleteditems",
    }
    return read_facts(place, headers, len(pairs), own_keys)


def mail_of(message: Json, attachments: list[Json], own_keys: frozenset[str], folders: dict[str, str]) -> RemoteMail:
    """A whole message with the list of its attachments, which stay behind their ids.

    Graph hands out one form of the text: HTML where the mail has any. `defects`: text_cut, too_many_parts, too_many_files.
    """
    reader = PartReader()
    reader.read({"mimeType": "multipart/mixed", "parts": [_body_part(message), *map(_file_part, attachments)]})
    text, html = reader.text, reader.html
    return RemoteMail(
        facts=facts_of(message, own_keys, folders),
        subject=subject_of(fields_of(header_pairs(message))),
        text=text,
        html=html,
        files=tuple(reader.files),
        size=len(text) + len(html) + sum(file.size for file in reader.files),
        defects=tuple(sorted(reader.defects)),
    )


def files_of(attachments: list[Json]) -> tuple[RemoteFile, ...]:
    """A list of attachments as files behind their ids."""
    reader = PartReader()
    reader.read({"mimeType": "multipart/mixed", "parts": [_file_part(attachment) for attachment in attachments]})
    return tuple(reader.files)


def may_have_files(message: Json) -> bool:
    """Whether the list of attachments is worth asking for: Graph's own word leaves out pictures in the text."""
    return bool(message.get("hasAttachments")) or "cid:" in str(_object(message.get("body")).get("content") or "")


def header_pairs(message: Json) -> list[tuple[str, str]]:
    """A message's header fields as far as Graph kept them, with those that its own properties stand for."""
    kept = message.get("internetMessageHeaders")
    entries = [entry for entry in kept if isinstance(entry, dict)] if isinstance(kept, list) else []
    pairs = [(str(entry.get("name") or ""), str(entry.get("value") or "")) for entry in entries]
    names = {name.lower() for name, _ in pairs}
    return pairs + [(name, value) for name, value in _own_fields(message) if value and name.lower() not in names]


def _own_fields(message: Json) -> list[tuple[str, str]]:
    sender = message.get("from")
    return [
        ("From", _written([sender] if isinstance(sender, dict) else [])),
        ("To", _written(message.get("toRecipients"))),
        ("Cc", _written(message.get("ccRecipients"))),
        ("Bcc", _written(message.get("bccRecipients"))),
        ("Subject", str(message.get("subject") or "")),
        ("Message-ID", str(message.get("internetMessageId") or "")),
        ("X-CRM-Ref", _mark(message)),
    ]


def _mark(message: Json) -> str:
    properties = message.get("singleValueExtendedProperties")
    for entry in properties if isinstance(properties, list) else ():
        if isinstance(entry, dict) and str(entry.get("id") or "").lower() == MARK.lower():
            return str(entry.get("value") or "")
    return ""


def _written(people: Any) -> str:
    """Recipients as a header field writes them; what is no address becomes none there either."""
    found = []
    for person in people if isinstance(people, list) else ():
        mailbox = person.get("emailAddress") if isinstance(person, dict) else None
        if isinstance(mailbox, dict):
            name, address = str(mailbox.get("name") or ""), str(mailbox.get("address") or "")
            shown = name.replace("\\", "\\\\").replace('"', '\\"')
            found.append(f'"{shown}" <{address}>' if name and name != address else f"<{address}>")
    return ", ".join(found)


def _direction(message: Json, folder: str, own_keys: frozenset[str], *, was_received: bool) -> Direction:
    """Sent is what lies among the sent, or was written by the mailbox and bears no trace of a way here.

    A stranger may write any From; what came from outside always bears Received fields, a sent copy never (RFC 5321 4.4).
    """
    sender = _object(_object(message.get("from")).get("emailAddress"))
    is_own = canonical_key(str(sender.get("address") or "")) in own_keys
    if folder == "sentitems":
        return Direction.OUTBOUND if is_own or not was_received else Direction.INBOUND
    return Direction.OUTBOUND if is_own and not was_received and folder not in OUTSIDE else Direction.INBOUND


def _body_part(message: Json) -> Json:
    body = _object(message.get("body"))
    mime = "text/html" if str(body.get("contentType") or "").lower() == "html" else "text/plain"
    return {"mimeType": mime, "body": {"bytes": str(body.get("content") or "").encode()}}


def _file_part(attachment: Json) -> Json:
    """An attachment in the shape that the reader of parts takes; always a file, never text of the mail."""
    kind = str(attachment.get("@odata.type") or "")
    mime = WHOLE if kind == ITEM else str(attachment.get("contentType") or "application/octet-stream")
    name = str(attachment.get("name") or "")
    if kind == ITEM and name and not name.lower().endswith(".eml"):
        name += ".eml"
    return {
        "mimeType": mime,
        "filename": name,
        "headers": [
            {"name": "Content-Disposition", "value": "attachment"},
            {"name": "Content-ID", "value": str(attachment.get("contentId") or "")},
        ],
        "body": {"attachmentId": str(attachment.get("id") or ""), "size": _number(attachment.get("size"))},
    }


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def moment_of(text: Any) -> datetime:
    """A moment as Graph writes it; what cannot be read lies before any connection."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return BEFORE_ALL
    return found if found.tzinfo else found.replace(tzinfo=UTC)
