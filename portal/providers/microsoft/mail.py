"""The Outlook adapter: `MailProvider` on top of the client (HTTP), the delta (cursor) and the parser (pure)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from portal.providers.errors import Gone, ProviderError, Refused, Temporary
from portal.providers.fetching import Found, id_of_like, read_one
from portal.providers.microsoft import parse
from portal.providers.microsoft.client import GraphClient, rows_of
from portal.providers.microsoft.delta import WANTED, present_cursor, read_changes, read_listing
from portal.providers.microsoft.fetching import Fetching
from portal.providers.microsoft.sending import find_marked, send_letter
from portal.providers.microsoft.watching import end_watch, watch_folders
from portal.providers.types import ChangePage, Held, Profile, RemoteFile, RemoteMail, Sent, Unread, Watch
from portal.rules.addresses import match_key
from portal.rules.facts import MailFacts

FOLDERS = ("inbox", "sentitems", "junkemail", "deleteditems")  # those whose name says something about a mail in them
GUEST = "#ext#"  # in the name of a guest of another organisation, which is no address


class GraphProvider:
    """One Outlook mailbox. `base_url` is the portal's own address, where notices go; empty: no push."""

    def __init__(self, client: GraphClient, base_url: str = "") -> None:
        self._client, self._base_url = client, base_url.rstrip("/")
        self._fetching = Fetching(client)
        self._folders: dict[str, str] = {}

    async def profile(self) -> Profile:
        """Address and present cursor. Raises AuthorizationLost (cause mailbox_gone) for an identity without mailbox."""
        addresses = await self.aliases()
        if not addresses:
            raise Temporary("a profile without an address")
        return Profile(addresses[0], await present_cursor(self._client))

    async def aliases(self) -> tuple[str, ...]:
        """The address of the mailbox, and the name one signs in with where that is another one. Graph tells no more."""
        answer = await self._client.get("/me", {"$select": "id,displayName,mail,userPrincipalName"})
        names = [str(answer.get(name) or "") for name in ("mail", "userPrincipalName")]
        return tuple({match_key(n): n for n in reversed(names) if match_key(n) and GUEST not in n.lower()}.values())[::-1]

    def changes(self, cursor: str) -> AsyncIterator[ChangePage]:
        """What came into the inbox or to the sent mail after `cursor`."""
        return read_changes(self._client, cursor)

    def listing(self, since: datetime, cursor: str) -> AsyncIterator[ChangePage]:
        """What lies in the two folders since a moment, for when the delta is lost."""
        return read_listing(self._client, since, cursor)

    async def thread_messages(self, thread_ids: Sequence[str], since: datetime) -> list[str]:
        """Messages of these threads since a moment, in any folder: what a rule of the Inbox puts away no delta names."""
        paths = [f"/me/messages?{urlencode({'$filter': _in_thread(i), '$select': WANTED, '$top': 100})}" for i in thread_ids]
        found: dict[str, datetime] = {}
        for answer in await self._fetching.get_many(paths):
            if isinstance(answer, ProviderError):
                continue  # asked again next time; what concerns the whole mailbox was raised
            for row in rows_of(answer):
                moment = parse.moment_of(row.get("receivedDateTime"))
                if row.get("id") and row.get("isDraft") is not True and moment >= since:
                    found[str(row["id"])] = moment
        return sorted(found, key=found.__getitem__)

    async def headers(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[MailFacts | Unread]:
        """The headers that the rules need; nothing else of a message travels."""
        found = await self._get_messages(ids, parse.HEADER_FIELDS)
        folders = await self._folder_names() if ids else {}
        pairs = zip(ids, found, strict=True)
        return [read_one(i, value, lambda m: parse.facts_of(m, own_keys, folders)) for i, value in pairs]

    async def messages(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[RemoteMail | Unread]:
        """Whole messages with the list of their files, which stay behind their ids."""
        found = await self._get_messages(ids, parse.BODY_FIELDS)
        folders = await self._folder_names() if ids else {}
        files = await self._files_of([i for i, value in zip(ids, found, strict=True) if _may_have_files(value)])
        return [_whole(i, value, files.get(i, []), own_keys, folders) for i, value in zip(ids, found, strict=True)]

    async def _get_messages(self, ids: Sequence[str], fields: str) -> list[Found]:
        query = urlencode({"$select": fields, "$expand": parse.EXPAND_MARK})
        return await self._fetching.get_many([f"{_path(i)}?{query}" for i in ids])

    async def _files_of(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]] | ProviderError]:
        found = await self._fetching.get_many([_files_path(i) for i in ids])
        return {i: value if isinstance(value, ProviderError) else _rows(value) for i, value in zip(ids, found, strict=True)}

    async def _folder_names(self) -> dict[str, str]:
        """The folders that matter, by their id; asked once."""
        if not self._folders:
            found = await self._fetching.get_many([f"/me/mailFolders/{name}?$select=id" for name in FOLDERS])
            for name, value in zip(FOLDERS, found, strict=True):
                if isinstance(value, ProviderError) and not isinstance(value, Gone):
                    raise value
                if isinstance(value, dict):
                    self._folders[str(value.get("id") or "")] = name
        return self._folders

    async def file(self, provider_message_id: str, file: RemoteFile) -> bytes:
        """The bytes of one file; one whose id is no longer known is looked up anew."""
        if file.data is not None:
            return file.data
        try:
            return await self._client.get_bytes(_file_path(provider_message_id, file.remote_id))
        except (Gone, Refused):
            file_id = await self._file_id_now(provider_message_id, file)
            return await self._client.get_bytes(_file_path(provider_message_id, file_id))

    async def _file_id_now(self, message_id: str, file: RemoteFile) -> str:
        rows = rows_of(await self._client.get(_files_path(message_id)))
        return id_of_like(file, parse.files_of(rows))

    async def send(self, raw: bytes, thread_id: str | None) -> Sent:
        """Send `raw`. Outlook may put it in another thread than asked for. Raises Refused (413) for what is too large."""
        return await send_letter(self._client, raw, thread_id or "")

    async def find_sent(self, crm_ref: UUID, _since: datetime) -> Sent | None:
        """The sent mail with this reference, wherever it lies now: Exchange knows it by a property of ours."""
        return await find_marked(self._client, crm_ref)

    async def watch(self, secret: str, held: Sequence[Held] = ()) -> Watch | None:
        """Ask for notices of both folders, for under seven days, or renew those held."""
        return await watch_folders(self._client, self._base_url, secret, held) if self._base_url else None

    async def stop_watch(self, held: Sequence[Held] = ()) -> None:
        """End the subscriptions held."""
        await end_watch(self._client, held)


def _in_thread(thread_id: str) -> str:
    return "conversationId eq '" + thread_id.replace("'", "''") + "'"


def _path(message_id: str) -> str:
    return f"/me/messages/{quote(message_id, safe='')}"


def _files_path(message_id: str) -> str:
    return f"{_path(message_id)}/attachments?{urlencode({'$select': parse.FILE_FIELDS})}"


def _file_path(message_id: str, file_id: str) -> str:
    return f"{_path(message_id)}/attachments/{quote(file_id, safe='')}/$value"


def _whole(
    message_id: str, value: Found, files: list[dict[str, Any]] | ProviderError, own_keys: frozenset[str],
    folders: dict[str, str],
) -> RemoteMail | Unread:  # fmt: skip
    if isinstance(files, ProviderError):
        return Unread(message_id, gone=isinstance(files, Gone), error=str(files)[:200])
    return read_one(message_id, value, lambda message: parse.mail_of(message, files, own_keys, folders))


def _may_have_files(value: Found) -> bool:
    return isinstance(value, dict) and parse.may_have_files(value)


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]] | ProviderError:
    try:
        return rows_of(answer)
    except Temporary as error:
        return error
