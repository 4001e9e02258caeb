"""Imports from CSV files: looked at first, run by a job, all good rows or none, and the same file twice adds nobody."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import func, select

from portal import queues
from portal.audit import events
from portal.contacts import import_running
from portal.contacts.imports import content_of
from portal.conversations.queries import contacts_by_key
from portal.database import db
from portal.jobs import contacts as jobs
from portal.lib.clock import now, set_offset
from portal.lib.crypto import SealError
from portal.models import Account, AuditEvent, Contact, ContactAddress, ContactImport, Conversation, Membership, Message
from tests.factories import make_account, make_contact, make_member

UPLOAD = "/contacts/import"
GOOD = (
    "First name,Last name,Email,Phone\nJonah,Whitfield,jonah@mail.example,+1 312 555 0100\nPriya,Raman,priya@mail.example,\n"
)


@pytest.fixture
def account(app: Any) -> Account:
    return make_account()


@pytest.fixture
def desk(client: Any, account: Account) -> Any:
    """A browser of the front desk."""
    return client.sign_in(make_member(account, "front_desk", email="dee@lumen.example", name="Dee Desk"))


def upload(client: Any, content: str | bytes, name: str = "patients.csv") -> Any:
    data = content.encode() if isinstance(content, str) else content
    return client.post(UPLOAD, data={"file": (io.BytesIO(data), name)}, content_type="multipart/form-data")


def uploaded(client: Any, content: str | bytes) -> ContactImport:
    """A file that was taken, as its import stands."""
    answer = upload(client, content)
    assert answer.status_code == 302, answer.text
    return db.session.get_one(ContactImport, UUID(answer.headers["Location"].rpartition("/")[2]))


def started(client: Any, content: str | bytes, **choice: str) -> ContactImport:
    """A file that was taken and handed to the job."""
    found = uploaded(client, content)
    assert client.post(f"{UPLOAD}/{found.id}/run", data=choice).status_code == 302
    return found


def names() -> list[str]:
    db.session.expire_all()
    return [contact.name for contact in db.session.scalars(select(Contact).order_by(Contact.created_at))]


def count(model: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.rule("G-12")
def test_a_file_is_looked_at_then_run_and_its_content_dropped(desk: Any, account: Account) -> None:
    found = uploaded(desk, GOOD)
    assert (found.state, found.total, found.file_name) == ("preview", 2, "patients.csv")
    assert found.mapping["counts"] == {"new": 2, "risk": 0}
    assert b"jonah" not in found.content
    text = desk.get(f"{UPLOAD}/{found.id}").text
    for words in ("2 contacts", "UTF-8", "comma", "Whitfield", "Import 2 contacts", "Nothing has been written yet"):
        assert words in text
    assert names() == []
    assert desk.post(f"{UPLOAD}/{found.id}/run").status_code == 302
    waiting = Queue(queues.DEFAULT, connection=queues.redis(), serializer=JSONSerializer).jobs
    assert [(job.func_name, list(job.args)) for job in waiting] == [("portal.jobs.contacts.run_import", [str(found.id)])]
    text = desk.get(f"{UPLOAD}/{found.id}").text
    assert "data-refresh" in text
    assert "of 2 rows checked" in text
    jobs.run_import(str(found.id))
    assert names() == ["Jonah Whitfield", "Priya Raman"]
    text = desk.get(f"{UPLOAD}/{found.id}").text
    assert "2 contacts</strong> were added" in text
    assert "data-refresh" not in text
    db.session.refresh(found)
    assert (found.state, found.created, found.skipped, found.content) == ("done", 2, 0, None)
    made = db.session.scalars(select(Contact)).first()
    assert made is not None
    assert (made.source, made.created_by_id, made.phone) == ("import", found.user_id, "+1 312 555 0100")
    assert count(Message) == count(Conversation) == 0  # no past mail comes with contacts
    kept = dict(db.session.execute(select(AuditEvent.name, AuditEvent.details)).all())
    assert kept[events.CONTACTS_IMPORT_STARTED] == {"rows": 2}
    assert kept[events.CONTACTS_IMPORTED] == {"created": 2, "skipped": 0, "failed": 0}
    assert "jonah@" not in str(kept)


@pytest.mark.bad_input(62)
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "latin-1"])
def test_files_of_spreadsheets_come_in_whole(desk: Any, account: Account, codec: str) -> None:
    found = started(desk, "Name;E-Mail\r\nÅngström, Zoë;zoe@mail.example\r".encode(codec))
    assert found.mapping["delimiter"] == "semicolon"
    jobs.run_import(str(found.id))
    assert names() == ["Zoë Ångström"]


@pytest.mark.bad_input(62)
@pytest.mark.bad_input(64)
@pytest.mark.bad_input(66)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n,,\n", "no rows"),
        (b"Name\nJo\0nah\n", "Row 2 holds NUL"),
        (b'Name\n"Jonah\n', "Row 2 has a quote that is never closed"),
        (b"Name\n" + b"," * 60, "Row 2 has 61 columns"),
        (b"Name\n" + b"x\n" * 20_001, "Row 20,002 is one too many"),
        (b"Name\n" + b"x" * 10_001, "Row 2 has a cell of more than 10,000"),
        (b"x" * (5 * 1024 * 1024 + 1), "over 5 MB"),
        (b"%PDF-1.7\nName,Email\n", "not a CSV file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "not a CSV file"),
        (b"<html><body>Name</body></html>", "not a CSV file"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_kept(desk: Any, content: bytes, words: str) -> None:
    answer = upload(desk, content)
    assert answer.status_code == 400
    assert words in answer.text
    assert count(ContactImport) == count(Contact) == 0


@pytest.mark.bad_input(66)
def test_a_workbook_named_csv_is_refused_by_what_it_is(desk: Any) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>')
        book.writestr("xl/bomb.xml", b"0" * 50_000_000)
    answer = upload(desk, out.getvalue())
    assert answer.status_code == 400
    assert "not a CSV file" in answer.text


@pytest.mark.bad_input(64)
@pytest.mark.requirement("LIM-2")
def test_a_file_over_the_limit_of_a_request_is_refused(desk: Any) -> None:
    assert upload(desk, b"x" * (37 * 1024 * 1024)).status_code == 413
    assert desk.post(UPLOAD, data={}, content_type="multipart/form-data").status_code == 400


@pytest.mark.requirement("LIM-1")
def test_uploads_are_limited_per_person(client: Any, desk: Any, account: Account) -> None:
    answers = [desk.post(UPLOAD, data={}, content_type="multipart/form-data") for _ in range(61)]
    assert [answer.status_code for answer in answers] == [400] * 60 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    other = client.application.test_client()
    assert upload(other, GOOD).status_code == 302  # a stranger is sent to sign in, whatever was counted
    assert upload(other.sign_in(make_member(account, "provider")), GOOD).status_code == 302


@pytest.mark.bad_input(62)
def test_without_a_heading_one_chooses_the_columns_first(desk: Any, account: Account) -> None:
    found = uploaded(desk, "Whitfield,Jonah,jonah@mail.example\nRaman,Priya,priya@mail.example\n")
    assert found.mapping["columns"] == ["", "", "email"]
    found = uploaded(desk, "Whitfield,Jonah\nRaman,Priya\n")
    assert "Choose what the columns hold" in desk.get(f"{UPLOAD}/{found.id}").text
    assert desk.post(f"{UPLOAD}/{found.id}/run").status_code == 400
    wrong = {"column": ["last_name", "last_name"]}
    desk.post(f"{UPLOAD}/{found.id}/columns", data=wrong)
    assert "Two columns are set to" in desk.get(f"{UPLOAD}/{found.id}").text
    desk.post(f"{UPLOAD}/{found.id}/columns", data={"column": ["last_name", "account_id"]})
    assert "Choose for each column" in desk.get(f"{UPLOAD}/{found.id}").text
    desk.post(f"{UPLOAD}/{found.id}/columns", data={"column": ["last_name", "first_name"]})
    assert "Import 2 contacts" in desk.get(f"{UPLOAD}/{found.id}").text
    desk.post(f"{UPLOAD}/{found.id}/run")
    jobs.run_import(str(found.id))
    assert names() == ["Jonah Whitfield", "Priya Raman"]


@pytest.mark.bad_input(62)
def test_headings_that_stand_twice_are_pointed_out(desk: Any, account: Account) -> None:
    found = uploaded(desk, "Name,Email,Email\nJonah,jonah@mail.example,j@work.example\n")
    assert found.mapping["columns"] == ["name", "email", ""]
    assert "Two columns have the same name: Email" in desk.get(f"{UPLOAD}/{found.id}").text
    desk.post(f"{UPLOAD}/{found.id}/columns", data={"column": ["name", "email", "alternate"], "heading": "y"})
    desk.post(f"{UPLOAD}/{found.id}/run")
    jobs.run_import(str(found.id))
    assert db.session.scalars(select(ContactAddress.email_key)).all() == ["j@work.example"]


@pytest.mark.bad_input(68)
@pytest.mark.requirement("TEN-5")
def test_ids_in_a_file_are_neither_read_nor_looked_up(desk: Any, account: Account) -> None:
    other = make_account()
    theirs = make_contact(other, "canary@mail.example", "Canary Bird")
    text = f"id,account_id,Name,Email\n{theirs.id},{other.id},Jonah Whitfield,canary@mail.example\n"
    found = uploaded(desk, text)
    assert found.mapping["counts"] == {"new": 1, "risk": 0}  # no hint that another account has the address
    page = desk.get(f"{UPLOAD}/{found.id}").text
    assert "Not imported: id and account_id" in page
    assert "Canary Bird" not in page
    desk.post(f"{UPLOAD}/{found.id}/columns", data={"column": ["notes", "", "name", "email"], "heading": "y"})
    assert "gives ids itself" in desk.get(f"{UPLOAD}/{found.id}").text
    desk.post(f"{UPLOAD}/{found.id}/columns", data={"column": ["", "", "name", "email"], "heading": "y"})
    desk.post(f"{UPLOAD}/{found.id}/run")
    jobs.run_import(str(found.id))
    made = db.session.scalars(select(Contact).where(Contact.account_id == account.id)).one()
    assert made.id != theirs.id
    assert count(Contact) == 2


@pytest.mark.rule("G-08")
@pytest.mark.bad_input(65)
@pytest.mark.bad_input(67)
def test_rows_are_judged_and_only_the_good_ones_written(desk: Any, account: Account) -> None:
    make_contact(account, "old@mail.example", "Otto Old")
    text = (
        "Name,Email,Email 2\n"
        "New One,new@mail.example,\n"
        "Case Twin,NEW@mail.example,\n"
        "Otto Again,Old@mail.example,\n"
        "Bad Address,nope@,\n"
        "Takes Others,takes@mail.example,old@mail.example\n"
        "Takes In File,file@mail.example,new@mail.example\n"
        "<b>Bold</b>,bold@mail.example,\n"
        "Dee Desk,dee@lumen.example,\n"
        "Nora Nurse,nora@lumen.example,\n"
        "No Address,,\n"
        "No Address,,\n"
    )
    found = uploaded(desk, text)
    assert found.mapping["counts"] == {"new": 4, "duplicate": 3, "error": 4, "risk": 2}
    page = desk.get(f"{UPLOAD}/{found.id}").text
    assert "Row 9: Dee Desk has a login here" in page
    assert "Row 10: Nora Nurse is at the practice" in page
    assert "“nope@”" in page
    assert "<b>Bold" not in page
    rows = [(error["row"], error["column"]) for error in found.errors]
    assert rows == [(5, "Primary address"), (6, "Alternate address"), (7, "Alternate address"), (8, "First name")]
    desk.post(f"{UPLOAD}/{found.id}/run", data={"leave_out_colleagues": "y"})
    jobs.run_import(str(found.id))
    assert set(names()) == {"Otto Old", "New One", "No Address"}
    page = desk.get(f"{UPLOAD}/{found.id}").text
    for words in ("2 contacts</strong> were added", "3 rows left out", "2 rows left out, because", "4 rows could not"):
        assert words in page
    jobs.run_import(str(started(desk, text).id))  # again, with the colleagues this time
    assert set(names()) == {"Otto Old", "New One", "No Address", "Dee Desk", "Nora Nurse"}


@pytest.mark.bad_input(63)
@pytest.mark.requirement("WEB-7")
def test_formulas_stay_text_and_the_errors_are_safe_to_open(desk: Any, account: Account) -> None:
    text = (
        'Name,Email,Phone,Notes\n"=HYPERLINK(""http://evil"")",a@mail.example,+1 312 555 0100,@SUM(1)\n'
        "Eve,=cmd|' /C calc'!A0,,\n\tTab,tab@mail.example,,+cmd\n"
    )
    found = started(desk, text)
    jobs.run_import(str(found.id))
    made = {contact.email: contact for contact in db.session.scalars(select(Contact))}
    assert made["a@mail.example"].name == '=HYPERLINK("http://evil")'
    assert (made["a@mail.example"].phone, made["a@mail.example"].notes) == ("+1 312 555 0100", "@SUM(1)")
    assert made["tab@mail.example"].notes == "+cmd"
    answer = desk.get(f"{UPLOAD}/{found.id}/errors.csv")
    assert answer.headers["Content-Disposition"] == "attachment; filename=import-errors.csv"
    cells = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))
    assert cells[0] == ["Row", "Column", "Problem"]
    assert cells[1][:2] == ["3", "Primary address"]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in cells for cell in row)
    names_of = list(db.session.scalars(select(AuditEvent.name)))
    assert names_of.count(events.IMPORT_ERRORS_TAKEN) == 1


@pytest.mark.bad_input(67)
def test_the_same_file_twice_adds_nobody(desk: Any, account: Account) -> None:
    for allowed in (False, True):
        account.allow_duplicate_contacts = allowed
        jobs.run_import(str(started(desk, GOOD + "No,Address,,\n").id))
        assert len(names()) == 3


@pytest.mark.rule("G-10")
def test_duplicates_of_a_file_are_taken_where_allowed_and_the_first_row_gets_the_mail(desk: Any, account: Account) -> None:
    text = "Name,Email\nAnn Berg,berg@mail.example\nBen Berg,berg@mail.example\nAnn Berg,BERG@mail.example\n"
    assert uploaded(desk, text).mapping["counts"] == {"new": 1, "duplicate": 2, "risk": 0}
    account.allow_duplicate_contacts = True
    found = started(desk, text)
    jobs.run_import(str(found.id))
    assert names() == ["Ann Berg", "Ben Berg"]
    assert contacts_by_key(account.id, ["berg@mail.example"])["berg@mail.example"].name == "Ann Berg"


@pytest.mark.bad_input(41)
@pytest.mark.fault(3)
def test_a_second_press_and_a_second_worker_change_nothing(app: Flask, desk: Any, account: Account) -> None:
    found = started(desk, GOOD)
    assert desk.post(f"{UPLOAD}/{found.id}/run").status_code == 302
    assert desk.post(f"{UPLOAD}/{found.id}/drop").status_code == 302  # too late, it goes on
    import_id = found.id
    db.session.remove()
    outcomes: list[str] = []

    def work() -> None:
        with app.app_context():
            outcomes.append(import_running.run(import_id))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"done", "nothing"}
    assert "done" in outcomes
    assert names() == ["Jonah Whitfield", "Priya Raman"]
    starts = select(func.count()).where(AuditEvent.name == events.CONTACTS_IMPORT_STARTED)
    assert db.session.scalar(starts) == 1


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from portal import create_app
from portal.jobs import contacts

app = create_app()
batches = 0

@event.listens_for(Engine, "before_cursor_execute")
def die(connection, cursor, statement, parameters, context, executemany):
    global batches
    batches += statement.startswith("INSERT INTO contact ")
    if batches > 10:  # 500 rows each: row 5,000 stands in the open transaction
        os.kill(os.getpid(), signal.SIGKILL)

with app.app_context():
    contacts.run_import(sys.argv[1])
"""


@pytest.mark.bad_input(67)
@pytest.mark.fault(1)
def test_a_worker_killed_at_row_5000_leaves_nothing_and_the_next_writes_all(
    desk: Any, account: Account, backend: Any, tmp_path: Path
) -> None:
    rows = "".join(f"P{number},p{number}@mail.example\n" for number in range(6_000))
    found = started(desk, "First name,Email\n" + rows)
    import_id = found.id
    script = tmp_path / "killed.py"
    script.write_text(KILLED_IN_THE_MIDDLE)
    db.session.remove()
    db.engine.dispose()
    root = str(Path(__file__).resolve().parents[2])
    environ = os.environ | backend.environ | {"PYTHONPATH": root}
    ended = subprocess.run([sys.executable, str(script), str(import_id)], env=environ, cwd=root, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert count(Contact) == 0
    assert db.session.get_one(ContactImport, import_id).state == "running"
    assert import_running.sweep() == 1
    jobs.run_import(str(import_id))
    jobs.run_import(str(import_id))
    db.session.expire_all()
    assert count(Contact) == 6_000
    assert db.session.get_one(ContactImport, import_id).created == 6_000


@pytest.mark.bad_input(64)
@pytest.mark.requirement("LIM-2")
def test_the_largest_file_is_judged_in_seconds(desk: Any, account: Account) -> None:
    text = "Name,Email\n" + "".join(f"Pim P{row},pim{row}@mail{row % 500}.example\n" for row in range(20_000))
    begun = time.process_time()
    found = uploaded(desk, text)
    assert time.process_time() - begun < 15  # about 1; a row that looks at all other rows makes it 20
    assert found.mapping["counts"]["new"] == 20_000


@pytest.mark.requirement("TEN-4")
@pytest.mark.fault(22)
def test_a_person_who_may_not_any_more_imports_nothing(desk: Any, account: Account) -> None:
    found = started(desk, GOOD)
    member = db.session.scalars(select(Membership).where(Membership.user_id == found.user_id)).one()
    member.role = "marketing"
    db.session.commit()
    assert import_running.run(found.id) == "failed"
    assert names() == []
    member.role = "front_desk"
    text = desk.get(f"{UPLOAD}/{found.id}").text
    assert "may no longer write contacts here" in text
    assert import_running.run(uuid4()) == "nothing"


def test_an_import_that_never_ends_is_given_up(desk: Any, account: Account) -> None:
    found = started(desk, GOOD)
    found.mapping = found.mapping | {"attempts": import_running.MAX_ATTEMPTS}
    db.session.commit()
    assert import_running.run(found.id) == "failed"
    assert import_running.sweep() == 0
    found = started(desk, GOOD)
    found.content = b"\1\2t1 damaged" + b"x" * 40
    db.session.commit()
    assert import_running.run(found.id) == "failed"
    assert "could not be read again" in desk.get(f"{UPLOAD}/{found.id}").text


def test_what_waits_is_handed_over_again_and_old_previews_are_forgotten(desk: Any, account: Account) -> None:
    waiting, seen = started(desk, GOOD), uploaded(desk, GOOD)
    queues.redis().flushall()  # the job was lost
    assert import_running.sweep() == 1
    assert import_running.sweep() == 1
    assert len(Queue(queues.DEFAULT, connection=queues.redis(), serializer=JSONSerializer)) == 1
    set_offset(int(timedelta(hours=25).total_seconds()), allowed=True)
    import_running.sweep()
    db.session.expire_all()
    assert (seen.state, seen.content, seen.mapping) == ("dropped", None, {})
    assert waiting.state == "queued"
    assert waiting.created_at < now()


@pytest.mark.requirement("TEN-1")
def test_an_import_is_its_persons_own(client: Any, desk: Any, account: Account) -> None:
    found = uploaded(desk, GOOD)
    found.account_id = make_account().id
    with pytest.raises(SealError):
        content_of(found)
    db.session.rollback()
    for person in (make_member(account, "provider"), make_member(make_account(), "owner")):
        other = client.application.test_client().sign_in(person)
        assert other.get(f"{UPLOAD}/{found.id}").status_code == 404
        assert other.get(f"{UPLOAD}/{found.id}/errors.csv").status_code == 404
        for action in ("columns", "run", "drop"):
            assert other.post(f"{UPLOAD}/{found.id}/{action}").status_code == 404
        assert "patients.csv" not in other.get(UPLOAD).text
    assert "patients.csv" in desk.get(UPLOAD).text
    assert desk.post(f"{UPLOAD}/{found.id}/drop").status_code == 302
    db.session.refresh(found)
    assert (found.state, found.content) == ("dropped", None)
    assert "This file was dropped" in desk.get(f"{UPLOAD}/{found.id}").text
    assert desk.post(f"{UPLOAD}/{found.id}/run").status_code == 302
    assert found.state == "dropped"
    assert "patients.csv" not in desk.get(UPLOAD).text
