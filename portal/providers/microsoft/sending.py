"""How a mail leaves by Graph: a draft that we know by its id, its files, then the word to send it.

Graph's sendMail answers without an id; a draft keeps its immutable id on the way to the sent ones. Whatever goes wrong
before that last word has certainly not left. Source: Graph's pages on sending mail, createReply and large attachments.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import UUID

from portal.providers.answers import json_of
from portal.providers.errors import Gone, ProviderError, Temporary, Unanswered
from portal.providers.microsoft.client import GraphClient, rows_of, together
from portal.providers.microsoft.letters import (
    MAX_FILE,
    Enclosure,
    Letter,
    enclosures,
    mark,
    properties,
    read_letter,
    thread_properties,
    without_files,
)
from portal.providers.microsoft.parse import HEADER_MARK, MARK
from portal.providers.types import Sent

MESSAGES = "/me/messages"
IDS = "id,conversationId,internetMessageId,isDraft"
PIECE = 10 * 320 * 1024  # bytes of an upload in one request: a multiple of 320 KiB, at most 4 MB


async def send_letter(client: GraphClient, raw: bytes, thread_id: str) -> Sent:
    """Send a MIME message, a reply as one where the mail replied to is still there.

    What an earlier try left behind is cleared away first; if that turns out to have left, it is not sent twice.
    Raises Unanswered when it may have left, else it certainly has not.
    """
    letter = read_letter(raw)
    if letter.crm_ref and (sent := await _clear_drafts(client, letter.crm_ref)):
        return sent
    draft = await _reply_draft(client, letter, thread_id) or await _new_draft(client, letter)
    try:
        await client.send_draft(draft.provider_message_id)
    except Unanswered:
        raise
    except ProviderError:
        await _discard(client, draft.provider_message_id)
        raise
    return draft


async def find_marked(client: GraphClient, crm_ref: UUID) -> Sent | None:
    """The mail that bears our reference and is no draft, in whatever folder."""
    return _first_sent(await _bearing(client, MARK, crm_ref))


async def _clear_drafts(client: GraphClient, crm_ref: UUID) -> Sent | None:
    """Delete what earlier tries left behind; the mail itself when it turns out to have left.

    A draft whose making was never answered bears no property of ours yet, only the header field. In a mail that is no
    draft anybody may have written that field.
    """
    marked, headed = await together(_bearing(client, name, crm_ref) for name in (MARK, HEADER_MARK))
    if sent := _first_sent(marked):
        return sent
    for message_id in {str(row.get("id") or ""): None for row in (*marked, *headed) if row.get("isDraft") is True}:
        await _delete(client, message_id)
    return None


async def _bearing(client: GraphClient, name: str, crm_ref: UUID) -> list[dict[str, Any]]:
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{name}' and ep/value eq '{crm_ref}')"
    return rows_of(await client.get(MESSAGES, {"$filter": condition, "$select": IDS}))


def _first_sent(rows: list[dict[str, Any]]) -> Sent | None:
    return next((_sent(row) for row in rows if row.get("isDraft") is not True), None)


async def _new_draft(client: GraphClient, letter: Letter) -> Sent:
    """A draft from MIME: what replies to nothing, or to what the mailbox no longer has."""
    parted = without_files(letter)
    if parted is None:
        answer = await client.write("POST", MESSAGES, properties(letter) | thread_properties(letter))
        return await _finish(client, answer, {}, enclosures(letter))
    body = base64.b64encode(parted[0])
    answer = await client.write("POST", MESSAGES, content=body, content_type="text/plain")
    return await _finish(client, answer, mark(letter), parted[1])


async def _reply_draft(client: GraphClient, letter: Letter, thread_id: str) -> Sent | None:
    """A draft that Exchange put into its thread; None when there is nothing left to reply to."""
    parent_id = await _parent(client, letter.parent_id, thread_id) if letter.is_reply else ""
    if not parent_id:
        return None
    changes, files = properties(letter), enclosures(letter)
    try:
        answer = await client.write("POST", f"{_path(parent_id)}/createReply", {})
    except Gone:
        return None
    return await _finish(client, answer, changes, files)


async def _parent(client: GraphClient, wire_id: str, thread_id: str) -> str:
    """The mail replied to, in the thread asked for if it lies in several; "" when the mailbox does not have it."""
    quoted = wire_id.replace("'", "''")
    rows = rows_of(await client.get(MESSAGES, {"$filter": f"internetMessageId eq '{quoted}'", "$select": IDS}))
    whole = [row for row in rows if row.get("isDraft") is not True and row.get("id")]
    whole.sort(key=lambda row: row.get("conversationId") != thread_id)
    return str(whole[0]["id"]) if whole else ""


async def _finish(client: GraphClient, answer: dict[str, Any], changes: dict[str, Any], files: list[Enclosure]) -> Sent:
    """Complete a draft. One that cannot be is deleted, as far as that is possible now."""
    draft = _sent(answer)
    try:
        if changes:
            draft = _sent(await client.write("PATCH", _path(draft.provider_message_id), changes))
        for file in files:
            await _attach(client, draft.provider_message_id, file)
    except ProviderError as error:
        await _discard(client, draft.provider_message_id)
        if isinstance(error, Gone):  # the user deleted it under our hands
            raise Temporary(str(error)) from error
        raise
    return draft


async def _attach(client: GraphClient, draft_id: str, file: Enclosure) -> None:
    place = {"isInline": True, "contentId": file.content_id} if file.content_id else {}
    if len(file.data) > MAX_FILE:
        await _upload(client, draft_id, file, place)
        return
    await client.write("POST", f"{_path(draft_id)}/attachments", {
        "@odata.type": "#microsoft.graph.fileAttachment", "name": file.name, "contentType": file.content_type,
        "contentBytes": base64.b64encode(file.data).decode(), **place,
    })  # fmt: skip


async def _upload(client: GraphClient, draft_id: str, file: Enclosure, place: dict[str, Any]) -> None:
    """A large file, piece by piece, from where the session says it stands. Raises Temporary when it gets nowhere."""
    size = len(file.data)
    item = {"attachmentType": "file", "name": file.name, "size": size, "contentType": file.content_type, **place}
    answer = await client.write("POST", f"{_path(draft_id)}/attachments/createUploadSession", {"AttachmentItem": item})
    url, start = str(answer.get("uploadUrl") or ""), 0
    for _piece in range(2 * (size // PIECE + 2)):  # a gap may send us back, but not for ever
        end = min(start + PIECE, size)
        done = await client.put_piece(url, file.data[start:end], f"bytes {start}-{end - 1}/{size}")
        if done.status == 201:
            return
        start = _expected(json_of(done), size)
    raise Temporary("an upload that gets nowhere")


def _expected(answer: dict[str, Any], size: int) -> int:
    """Where the next piece begins."""
    ranges = answer.get("nextExpectedRanges") or answer.get("NextExpectedRanges")
    first = str(ranges[0]).partition("-")[0] if isinstance(ranges, list) and ranges else ""
    if not first.isdigit() or int(first) >= size:
        raise Temporary("an upload session that does not say what it wants")
    return int(first)


async def _delete(client: GraphClient, message_id: str) -> None:
    with suppress(Gone):
        await client.write("DELETE", _path(message_id))


async def _discard(client: GraphClient, draft_id: str) -> None:
    """Take away a draft that will not leave, as far as that is possible now: what broke may break the first try, too."""
    for _try in range(2):
        with suppress(ProviderError):
            await _delete(client, draft_id)
            return


def _path(message_id: str) -> str:
    return f"{MESSAGES}/{quote(message_id, safe='')}"


def _sent(row: dict[str, Any]) -> Sent:
    """The ids of a draft or a sent mail. Raises Temporary when the answer has none."""
    message_id = str(row.get("id") or "")
    if not message_id:
        raise Temporary("a mail without an id")
    thread_id = str(row.get("conversationId") or message_id)
    return Sent(message_id, thread_id, str(row.get("internetMessageId") or ""))
