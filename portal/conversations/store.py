"""The attachment store: sealed files under random keys in a local folder.

The interface is three functions so that an S3-compatible store can stand behind it later. What a file was called, what
it is and whom it belongs to stands in the database only (ATT-2); the file holds sealed bytes bound to account and row.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from flask import current_app

from portal.lib.crypto import SealError
from portal.sealing import envelope, place

KIND = "attachment.content"
KEY = re.compile(r"[0-9a-f]{32}")


class StoreUnavailable(Exception):
    """The store did not take or give the bytes: full, read-only, file missing or damaged. Carries no content."""


def put(account_id: UUID, attachment_id: UUID, data: bytes) -> str:
    """Seal `data` for its row and write it; returns the key to keep in the row.

    The file is complete or absent: it is written aside and renamed. Raises StoreUnavailable (disk full, read-only).
    """
    key = secrets.token_hex(16)
    sealed = envelope().seal(data, place(KIND, account_id, attachment_id))
    _write(_path(key), sealed)
    return key


def reseal(account_id: UUID, attachment_id: UUID, store_key: str) -> bool:
    """Seal a file anew with the current key, in its place; false when that key has sealed it already.

    Raises StoreUnavailable when it is not there, does not open, or cannot be written; the file is then as it was.
    """
    where, path = place(KIND, account_id, attachment_id), _path(store_key)
    try:
        sealed = path.read_bytes()
        if envelope().key_of(sealed) == envelope().current:
            return False
        data = envelope().open(sealed, where)
    except (OSError, SealError) as error:
        raise StoreUnavailable(type(error).__name__) from error
    _write(path, envelope().seal(data, where))
    return True


def _write(path: Path, sealed: bytes) -> None:
    """Write a whole file aside and put it in place. Raises StoreUnavailable."""
    aside = path.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise StoreUnavailable(type(error).__name__) from error


def read(account_id: UUID, attachment_id: UUID, store_key: str) -> bytes:
    """The bytes that `put` was given for this row. Raises StoreUnavailable when they are not there or do not open."""
    try:
        return envelope().open(_path(store_key).read_bytes(), place(KIND, account_id, attachment_id))
    except (OSError, SealError) as error:
        raise StoreUnavailable(type(error).__name__) from error


def remove(store_key: str) -> None:
    """Delete the file; one that is gone already is fine. Raises StoreUnavailable when it cannot be deleted."""
    try:
        _path(store_key).unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(type(error).__name__) from error


def _path(key: str) -> Path:
    """Where a key's file lies. Anything but a key of `put` is refused, so no name can lead outside the folder."""
    if not KEY.fullmatch(key):
        raise StoreUnavailable("not a key of the store")
    folder: Path = current_app.extensions["settings"].attachment_path
    return folder / key[:2] / key
