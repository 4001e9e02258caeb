"""users.watch and users.stop (https://developers.google.com/workspace/gmail/api/guides/push)."""

from __future__ import annotations

import re
from typing import Any

from sandbox.google import errors
from sandbox.http import Response, json_response
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage, Watch
from sandbox.state import World

WATCH_SECONDS = 7 * 86_400
_TOPIC = re.compile(r"^projects/[^/\s]+/topics/[^/\s]+$")


def start_watch(world: World, mailbox: Mailbox, fields: dict[str, Any]) -> Response:
    """Register the mailbox for push; a first notice follows at once. Raises ApiError for a bad topic."""
    topic = str(fields.get("topicName") or "")
    if not _TOPIC.match(topic):
        raise errors.invalid_argument("Invalid topicName does not match projects/<project>/topics/*")
    behaviour = str(fields.get("labelFilterBehavior") or fields.get("labelFilterAction") or "include")
    labels = [str(label) for label in fields.get("labelIds") or []]
    with world.lock:
        expires = world.clock.now() + WATCH_SECONDS
        mailbox.watch = Watch(topic, labels, behaviour.lower() == "exclude", expires)
        world.changed(mailbox, None, [])
        for listener in world.listeners:
            listener(mailbox, None, [HistoryEntry(mailbox.history_id, "watch", "", "")])
        return json_response({"historyId": str(mailbox.history_id), "expiration": str(int(expires * 1000))})


def stop_watch(world: World, mailbox: Mailbox) -> Response:
    """End push for the mailbox, for every connection of the project."""
    with world.lock:
        mailbox.watch = None
        world.changed(mailbox, None, [])
    return Response(204, b"", [])


def is_watched(world: World, mailbox: Mailbox, message: StoredMessage | None, entries: list[HistoryEntry]) -> bool:
    """Whether a change is one the watch asks for."""
    watch = mailbox.watch
    if watch is None or not entries or watch.expires <= world.clock.now():
        return False
    if not watch.labels or message is None:
        return True
    touched = message.labels.union(*(entry.labels for entry in entries))
    hit = bool(touched & set(watch.labels))
    return not hit if watch.exclude else hit
