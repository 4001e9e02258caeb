"""Files of admitted mail: fetched one at a time, judged, and put into the store before the mail's transaction.

A mail's files together may take 25 MB (G-13), each of an Outlook mailbox 3 MB and only of some types (O-06); what is over,
of another type, dangerous, disguised or not handed over is named with its reason and its text is logged all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from flask import current_app

from portal.conversations import store
from portal.lib.ids import new_id
from portal.lib.sniff import content_type, danger
from portal.providers.base import MailProvider
from portal.providers.errors import Gone, Refused
from portal.providers.types import RemoteFile, RemoteMail
from portal.rules.files import outlook_hindrance
from portal.rules.reasons import FileReason
from portal.rules.sending import MAX_FILE_BYTES
from portal.sync.lease import Run
from portal.sync.rows import StoredFile

MOST_FILES = 100  # of one mail; the rest is named and stays in the mailbox


async def take_files(provider: MailProvider, run: Run, mail: RemoteMail) -> tuple[StoredFile, ...]:
    """Every file of the mail, stored or named. Raises what concerns the whole mailbox, with what was stored removed."""
    taken: list[StoredFile] = []
    left = MAX_FILE_BYTES
    try:
        for position, file in enumerate(mail.files):
            if reason := _hindrance(run, file, file.size, left):
                taken.append(leave_out(file, reason))
                continue
            if position >= MOST_FILES:
                taken.append(leave_out(file, FileReason.NOT_FETCHED))
                continue
            found = await _take_file(provider, run, mail, file, left)
            left -= found.size if found.state == "stored" else 0
            taken.append(found)
    except BaseException:
        remove_stored(taken)
        raise
    return tuple(taken)


def _hindrance(run: Run, file: RemoteFile, size: int, left: int) -> FileReason | None:
    """Why a file of so many bytes stays in the mailbox; None when it is taken."""
    if run.provider == "microsoft" and (reason := outlook_hindrance(file.name, size, file.claimed_type)):
        return reason
    return FileReason.TOO_LARGE if size > left else None


async def _take_file(provider: MailProvider, run: Run, mail: RemoteMail, file: RemoteFile, left: int) -> StoredFile:
    try:
        data = file.data if file.data is not None else await provider.file(mail.facts.provider_message_id, file)
    except (Gone, Refused):
        return leave_out(file, FileReason.NOT_FETCHED)
    if reason := _hindrance(run, file, len(data), left):  # the size it claimed was wrong
        return leave_out(file, reason)
    try:
        return keep_file(run.account_id, file, data)
    except store.StoreUnavailable:
        current_app.logger.error("the attachment store does not take files; texts are logged without them")
        return leave_out(file, FileReason.NOT_STORED)


def keep_file(account_id: UUID, file: RemoteFile, data: bytes) -> StoredFile:
    """Judge a file by its bytes and put it into the store. Raises StoreUnavailable."""
    kind = content_type(data, file.name)
    if why := danger(data, file.name):
        return StoredFile(new_id(), file.name, kind, file.content_id, len(data), "blocked", why)
    row_id = new_id()
    key = store.put(account_id, row_id, data)
    return StoredFile(row_id, file.name, kind, file.content_id, len(data), "stored", "", key)


def leave_out(file: RemoteFile, reason: FileReason) -> StoredFile:
    """A file that is only named, with the reason."""
    return StoredFile(new_id(), file.name, file.claimed_type, file.content_id, file.size, "left_out", reason.value)


def remove_stored(files: Iterable[StoredFile]) -> None:
    """Take files out of the store again whose mail was not written. What cannot be removed is named in the log."""
    for file in files:
        if file.store_key:
            try:
                store.remove(file.store_key)
            except store.StoreUnavailable:
                current_app.logger.warning("an orphan stays in the attachment store: %s", file.store_key)
