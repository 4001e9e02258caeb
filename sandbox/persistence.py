"""Keeps the state in one SQLite file, so that a second run finds mailboxes, tokens and history again.

Changes are queued and written in groups by one thread; what was queued is written at exit. Without a data directory nothing
is written at all.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage, Watch

if TYPE_CHECKING:
    from sandbox.sink import SinkMail

FLUSH_SECONDS = 0.3
_SCHEMA = """
create table if not exists rows (kind text, key text, data blob, raw blob, primary key (kind, key)) without rowid;
"""
_VOLATILE = ("messages", "threads", "by_internet_id", "history")


class Store:
    """A table of (kind, key, JSON, raw bytes) with a write-behind queue."""

    def __init__(self, folder: Path | None) -> None:
        self._queue: dict[tuple[str, str], tuple[bytes, bytes | None] | None] = {}
        self._lock = threading.Lock()  # of the queue; held for moments only, since `put` waits for it
        self._writing = threading.Lock()  # of the file; taken before the other
        self._wake = threading.Event()
        self._file: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = folder / "sandbox.sqlite3"
            with self._connect() as db:
                db.execute("pragma journal_mode=wal")
                db.executescript(_SCHEMA)
            self._stop = threading.Event()
            self._writer = threading.Thread(target=self._write_behind, name="store", daemon=True)
            self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(str(self._file), timeout=10)

    # writing --------------------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: Any, raw: bytes | None = None) -> None:
        """Queue a row; a later value for the same key replaces an earlier one."""
        if self._file is None:
            return
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
        with self._lock:
            self._queue[kind, key] = (data, raw)
        self._wake.set()

    def drop(self, kind: str, key: str) -> None:
        """Queue the removal of a row."""
        if self._file is None:
            return
        with self._lock:
            self._queue[kind, key] = None
        self._wake.set()

    def _write_behind(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(FLUSH_SECONDS)
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is queued, in one transaction."""
        if self._file is None:
            return
        with self._writing:
            with self._lock:
                batch, self._queue = self._queue, {}
            if not batch:
                return
            gone = [key for key, value in batch.items() if value is None]
            rows = [(*key, *value) for key, value in batch.items() if value is not None]
            with self._connect() as db:
                db.executemany("delete from rows where kind=? and key=?", gone)
                db.executemany(
                    "insert into rows values (?,?,?,?) on conflict do update set data=excluded.data, "
                    "raw=coalesce(excluded.raw, rows.raw)",
                    rows,
                )

    def close(self) -> None:
        """Write the rest and end the thread."""
        if self._file is None:
            return
        self._stop.set()
        self._wake.set()
        self._writer.join(5)
        self.flush()

    def wipe(self) -> None:
        """Remove everything but the signing key."""
        if self._file is None:
            return
        with self._writing:
            with self._lock:
                self._queue.clear()
            with self._connect() as db:
                db.execute("delete from rows where kind <> 'value' or key <> 'signing_key'")

    def drop_kind(self, kind: str) -> None:
        """Remove all rows of a kind at once."""
        if self._file is None:
            return
        with self._writing:
            with self._lock:
                self._queue = {key: value for key, value in self._queue.items() if key[0] != kind}
            with self._connect() as db:
                db.execute("delete from rows where kind=?", (kind,))

    # what is kept ----------------------------------------------------------------------------------------------

    def save_mailbox(self, mailbox: Mailbox) -> None:
        """The mailbox without its messages and history."""
        if self._file is None:
            return
        values = {k: v for k, v in mailbox.__dict__.items() if k not in _VOLATILE}
        values["watch"] = dataclasses.asdict(mailbox.watch) if mailbox.watch else None
        self.put("mailbox", mailbox.address, values)

    def save_message(self, mailbox: Mailbox, message: StoredMessage) -> None:
        """A message; its raw bytes travel too, since the row may still wait in the queue."""
        values = {
            "thread_id": message.thread_id, "labels": sorted(message.labels),
            "internal_date": message.internal_date, "history_id": message.history_id, "extra": message.extra,
        }  # fmt: skip
        self.put("message", f"{mailbox.address}/{message.id}", values, message.raw)

    def drop_message(self, mailbox: Mailbox, message_id: str) -> None:
        """A message that was deleted for good."""
        self.drop("message", f"{mailbox.address}/{message_id}")

    def save_history(self, mailbox: Mailbox, entries: list[HistoryEntry]) -> None:
        """New lines of the history log."""
        for entry in entries:
            values = (entry.kind, entry.message_id, entry.thread_id, entry.labels)
            self.put("history", f"{mailbox.address}/{entry.id:020d}", values)

    def save_sink(self, mail: SinkMail) -> None:
        """A mail of the sink."""
        values = {k: getattr(mail, k) for k in ("at", "via", "mail_from", "rcpt_to", "delivered")}
        self.put("sink", mail.id, values, mail.raw)

    def drop_sink(self, mail: SinkMail) -> None:
        """A mail that the sink no longer holds."""
        self.drop("sink", mail.id)

    # reading back ----------------------------------------------------------------------------------------------

    def rows(self, kind: str) -> Iterator[tuple[str, Any, bytes | None]]:
        """(key, value, raw) of all rows of a kind, in key order."""
        if self._file is None:
            return
        with self._connect() as db:
            query = "select key, data, raw from rows where kind=? order by key"
            for key, data, raw in db.execute(query, (kind,)):
                yield key, orjson.loads(data), raw

    def read_value(self, name: str) -> Any:
        """A single value kept with `put("value", name, …)`, or None."""
        return next((value for key, value, _ in self.rows("value") if key == name), None)

    def read_mailboxes(self) -> list[Mailbox]:
        """All mailboxes with messages and history."""
        boxes: dict[str, Mailbox] = {}
        for address, values, _ in self.rows("mailbox"):
            watch = values.pop("watch")
            boxes[address] = Mailbox(**values, watch=Watch(**watch) if watch else None)
            boxes[address].sent_log = [(at, count) for at, count in boxes[address].sent_log]
        for key, values, raw in self.rows("message"):
            address, _, message_id = key.rpartition("/")
            labels = set(values.pop("labels"))
            boxes[address].index(StoredMessage(id=message_id, raw=raw or b"", labels=labels, **values))
        for key, (kind, message_id, thread_id, labels), _ in self.rows("history"):
            address, _, number = key.rpartition("/")
            entry = HistoryEntry(int(number), kind, message_id, thread_id, tuple(labels))
            boxes[address].history.append(entry)
        return list(boxes.values())

    def read_sink(self) -> list[dict[str, Any]]:
        """The sink's mails, oldest first."""
        return [{**values, "raw": raw or b"", "id": key} for key, values, raw in self.rows("sink")]
