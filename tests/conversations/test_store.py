"""The attachment store: sealed files under random keys, whole or absent, and its troubles told as one error."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask

from portal.conversations import store
from portal.lib.crypto import Envelope

CANARY = b"canary-of-an-attachment" * 10


@dataclass
class Folder:
    """The only setting that the store reads."""

    attachment_path: Path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A store in an empty folder; no database stands behind it."""
    app = Flask(__name__)
    setting = Folder(tmp_path / "attachments")
    app.extensions |= {"settings": setting, "envelope": Envelope([("t", b"k" * 32)])}
    with app.app_context():
        yield setting


ACCOUNT, ROW = UUID(int=1), UUID(int=2)


def files_in(folder: Folder) -> list[Path]:
    return [path for path in folder.attachment_path.rglob("*") if path.is_file()]


@pytest.mark.requirement("DAT-1")
@pytest.mark.requirement("ATT-2")
def test_a_file_comes_back_and_lies_sealed_under_a_random_key(folder: Folder) -> None:
    key = store.put(ACCOUNT, ROW, CANARY)
    assert store.read(ACCOUNT, ROW, key) == CANARY
    [path] = files_in(folder)
    assert path.name == key
    assert len(key) == 32
    assert b"canary" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert store.put(ACCOUNT, ROW, CANARY) != key


def test_an_empty_file_is_a_file(folder: Folder) -> None:
    assert store.read(ACCOUNT, ROW, store.put(ACCOUNT, ROW, b"")) == b""


@pytest.mark.requirement("DAT-1")
@pytest.mark.parametrize(("account", "row"), [(uuid4(), ROW), (ACCOUNT, uuid4())])
def test_a_file_opens_for_its_own_row_and_account_only(folder: Folder, account: UUID, row: UUID) -> None:
    key = store.put(ACCOUNT, ROW, CANARY)
    with pytest.raises(store.StoreUnavailable):
        store.read(account, row, key)


@pytest.mark.requirement("ATT-2")
@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "\n", "a" * 33, "/" * 32, "..%2f" + "a" * 27]
)
def test_nothing_but_a_key_of_the_store_leads_anywhere(folder: Folder, key: str) -> None:
    for call in (lambda: store.read(ACCOUNT, ROW, key), lambda: store.remove(key)):
        with pytest.raises(store.StoreUnavailable):
            call()


@pytest.mark.fault(27)
def test_a_missing_or_damaged_file_is_one_kind_of_trouble(folder: Folder) -> None:
    key = store.put(ACCOUNT, ROW, CANARY)
    [path] = files_in(folder)
    for content in (b"", path.read_bytes()[:-1], b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(store.StoreUnavailable) as raised:
            store.read(ACCOUNT, ROW, key)
        assert "canary" not in str(raised.value)
    store.remove(key)
    store.remove(key)
    assert files_in(folder) == []
    with pytest.raises(store.StoreUnavailable):
        store.read(ACCOUNT, ROW, key)


@pytest.mark.fault(27)
@pytest.mark.parametrize("place", ["/proc/no-such-store", "a file"])
def test_a_folder_that_takes_nothing_is_said(folder: Folder, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("x")
    folder.attachment_path = tmp_path / place / "attachments"
    with pytest.raises(store.StoreUnavailable):
        store.put(ACCOUNT, ROW, CANARY)


@pytest.mark.fault(27)
def test_a_disk_that_is_full_leaves_no_half_file(folder: Folder) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(store.StoreUnavailable):
            store.put(ACCOUNT, ROW, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert files_in(folder) == []
