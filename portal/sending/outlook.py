"""What an Outlook mailbox does not carry is refused before anything leaves (O-06)."""

from __future__ import annotations

from portal.models import Connection
from portal.rules.files import OUTLOOK_TYPES, outlook_hindrance
from portal.rules.reasons import FileReason
from portal.sending.letters import NewMail, SendRefused

TYPES = ", ".join(kind.upper() for kind in OUTLOOK_TYPES)
FILE_HINT = f"Outlook takes files up to 3 MB each: {TYPES}. Files are not kept with a draft."
TOO_LARGE = "{name} is {size}. Outlook takes files up to 3 MB each. Take it out and send again."
OTHER_TYPE = "{name} is a type of file that Outlook does not take here. Take it out, or attach it as one of these: {types}."


def refuse_uncarried(connection: Connection, mail: NewMail) -> None:
    """Refuse a mail with a file or picture that does not leave through this mailbox, and name it. Raises SendRefused."""
    if connection.provider != "microsoft":
        return
    for part in mail.parts:
        reason = outlook_hindrance(part.name, len(part.data), part.content_type)
        if reason is FileReason.TOO_LARGE_OUTLOOK:
            raise SendRefused(TOO_LARGE.format(name=part.name, size=_size(part.data)), cause=reason.value)
        if reason is not None:
            raise SendRefused(OTHER_TYPE.format(name=part.name, types=TYPES), cause=reason.value)


def _size(data: bytes) -> str:
    """The size in the megabytes in which the limit is counted; never so rounded that it seems to be within it."""
    return f"{max(3.1, round(len(data) / (1024 * 1024), 1))} MB"
