"""The Gmail adapter: `MailProvider` on top of the client (HTTP), the history (cursor) and the parser (pure)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from portal.lib.clock import now
from portal.providers.errors import Gone, ProviderError, Refused, Temporary, Unanswered
from portal.providers.fetching import id_of_like, read_one
from portal.providers.google.client import UNITS, GmailClient
from portal.providers.google.fetching import Fetching
from portal.providers.google.history import list_ids, read_history, read_listing
from portal.providers.google.parse import facts_of, mail_of, reference_of
from portal.providers.google.parts import distant_texts
from portal.providers.google.sending import SEND_PATH, UPLOAD_PATH, build_json, build_upload, fits_json, refuse_too_large
from portal.providers.headers import HEADER_NAMES
from portal.providers.parts import MAX_TEXT_BYTES, decode_base64
from portal.providers.types import ChangePage, Held, Profile, RemoteFile, RemoteMail, Sent, Unread, Watch
from portal.rules.facts import MailFacts

METADATA = urlencode([("format", "metadata"), *(("metadataHeaders", name) for name in HEADER_NAMES)])
REFERENCE = urlencode([("format", "metadata"), ("metadataHeaders", "X-CRM-Ref"), ("metadataHeaders", "Message-ID")])
MAX_LOOKED_AT = 2_000  # of sent mails, newest first, when one is looked for by its reference
WATCH_LIFE = timedelta(days=7)


class GmailProvider:
    """One Gmail mailbox. `topic` is the operator's Pub/Sub topic; empty: no push."""

    def __init__(self, client: GmailClient, topic: str = "") -> None:
        self._client, self._topic = client, topic
        self._fetching = Fetching(client)

    async def profile(self) -> Profile:
        """Address and present cursor. Raises AuthorizationLost (cause mailbox_gone) for an identity without mailbox."""
        answer = await self._client.get("profile", UNITS["profile"])
        address, cursor = str(answer.get("emailAddress") or ""), str(answer.get("historyId") or "")
        if not address or not cursor:
            raise Temporary("a profile without address or history id")
        return Profile(address, cursor)

    async def aliases(self) -> tuple[str, ...]:
        """The addresses of the mailbox: its own and the send-as addresses whose owner has confirmed them."""
        answer = await self._client.get("settings/sendAs", UNITS["send_as"])
        rows = [row for row in answer.get("sendAs") or () if isinstance(row, dict)]
        known = [row for row in rows if row.get("isPrimary") or row.get("verificationStatus") == "accepted"]
        return tuple(str(row["sendAsEmail"]) for row in known if row.get("sendAsEmail"))

    def changes(self, cursor: str) -> AsyncIterator[ChangePage]:
        """What happened after `cursor`. A message is `moved` when only a label brought it back (out of spam)."""
        return read_history(self._client, cursor)

    def listing(self, since: datetime, cursor: str) -> AsyncIterator[ChangePage]:
        """What arrived since a moment, for when history is lost."""
        return read_listing(self._client, since, cursor)

    async def thread_messages(self, _thread_ids: Sequence[str], _since: datetime) -> list[str]:
        """None: Gmail's history knows no folders and names every message."""
        return []

    async def headers(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[MailFacts | Unread]:
        """The headers that the rules need; nothing else of a message travels."""
        found = await self._fetching.get_many([f"messages/{quote(i, safe='')}?{METADATA}" for i in ids])
        return [read_one(i, value, lambda m: facts_of(m, own_keys)) for i, value in zip(ids, found, strict=True)]

    async def messages(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[RemoteMail | Unread]:
        """Whole messages; text that Gmail keeps apart for its size is fetched too, files are not."""
        found = await self._fetching.get_many([f"messages/{quote(i, safe='')}?format=full" for i in ids])
        for value in found:
            if isinstance(value, dict):
                await self._fetch_texts(value)
        return [read_one(i, value, lambda m: mail_of(m, own_keys)) for i, value in zip(ids, found, strict=True)]

    async def _fetch_texts(self, message: dict[str, Any]) -> None:
        """Fill in the bodies of text parts that came as an id only; one that cannot be had stays a named file."""
        for body in distant_texts(message):
            if int(body.get("size") or 0) > MAX_TEXT_BYTES:
                continue
            try:
                answer = await self._attachment(str(message["id"]), str(body["attachmentId"]))
            except (Gone, Refused):
                continue
            body["data"] = answer.get("data")

    async def file(self, provider_message_id: str, file: RemoteFile) -> bytes:
        """The bytes of one file. Gmail's file ids may age, so one that is no longer known is looked up anew."""
        if file.data is not None:
            return file.data
        try:
            answer = await self._attachment(provider_message_id, file.remote_id)
        except (Gone, Refused):
            answer = await self._attachment(provider_message_id, await self._file_id_now(provider_message_id, file))
        try:
            return decode_base64(str(answer.get("data") or ""))
        except ValueError:
            raise Temporary("a file that is no base64") from None

    async def _file_id_now(self, provider_message_id: str, file: RemoteFile) -> str:
        message = await self._client.get(f"messages/{quote(provider_message_id, safe='')}", UNITS["get"], {"format": "full"})
        return id_of_like(file, mail_of(message, frozenset()).files)

    async def _attachment(self, message_id: str, attachment_id: str) -> dict[str, Any]:
        path = f"messages/{quote(message_id, safe='')}/attachments/{quote(attachment_id, safe='')}"
        return await self._client.get(path, UNITS["attachment"])

    async def send(self, raw: bytes, thread_id: str | None) -> Sent:
        """Send `raw`. Gmail may put it in another thread than asked for, and always gives it a Message-ID of its own.

        A thread that the mailbox no longer has is left away. Raises Refused (413) above Gmail's 35 MiB.
        """
        refuse_too_large(raw)
        try:
            answer = await self._post(raw, thread_id or "")
        except Gone:
            if not thread_id:
                raise
            answer = await self._post(raw, "")
        message_id = str(answer.get("id") or "")
        if not message_id:
            raise Unanswered("a sent mail without an id")
        return Sent(message_id, str(answer.get("threadId") or message_id), await self._wire_id(message_id))

    async def _post(self, raw: bytes, thread_id: str) -> dict[str, Any]:
        if fits_json(raw):
            return await self._client.post_mail(SEND_PATH, build_json(raw, thread_id), "application/json")
        content, content_type = build_upload(raw, thread_id)
        return await self._client.post_mail(UPLOAD_PATH, content, content_type, {"uploadType": "multipart"})

    async def _wire_id(self, message_id: str) -> str:
        """The Message-ID the world sees; "" when it cannot be read now. The mail has left, so no trouble is raised here."""
        try:
            message = await self._client.get(f"messages/{quote(message_id, safe='')}?{REFERENCE}", UNITS["get"])
            return facts_of(message, frozenset()).internet_message_id
        except ProviderError:
            return ""

    async def find_sent(self, crm_ref: UUID, since: datetime) -> Sent | None:
        """The sent mail with this X-CRM-Ref. None only when every mail sent since then was looked at."""
        ids = await list_ids(self._client, f"in:sent after:{int(since.timestamp())}", MAX_LOOKED_AT, with_trash=True)
        for start in range(0, len(ids), 100):
            paths = [f"messages/{quote(i, safe='')}?{REFERENCE}" for i in ids[start : start + 100]]
            for message in await self._fetching.get_many(paths):
                if isinstance(message, dict) and reference_of(message) == crm_ref:
                    facts = facts_of(message, frozenset())
                    return Sent(facts.provider_message_id, facts.provider_thread_id, facts.internet_message_id)
                if isinstance(message, ProviderError) and not isinstance(message, Gone):
                    raise message
        return None

    async def watch(self, _secret: str = "", _held: Sequence[Held] = ()) -> Watch | None:
        """Ask for push notices of received and sent mail, for at most seven days."""
        if not self._topic:
            return None
        body = {"topicName": self._topic, "labelIds": ["INBOX", "SENT"], "labelFilterBehavior": "INCLUDE"}
        answer = await self._client.post("watch", UNITS["watch"], body)
        try:
            return Watch(datetime.fromtimestamp(int(answer["expiration"]) / 1000, UTC))
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return Watch(now() + WATCH_LIFE)

    async def stop_watch(self, _held: Sequence[Held] = ()) -> None:
        """End push for this mailbox and this project, whoever asked for it."""
        await self._client.post("stop", UNITS["stop"])
