"""Pages of the console about mail: mailboxes, their mail, writing, odd mails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox.accounts import SORTS
from sandbox.control.mail import existing_mailbox, existing_message
from sandbox.control.mailboxes import mailbox_values
from sandbox.describe import describe_mailbox, describe_message
from sandbox.inputs import BadInput, mail_address
from sandbox.odd_mails import KINDS, odd_mail
from sandbox.people import Letter, reply_addresses

if TYPE_CHECKING:
    from sandbox.app import Application
    from sandbox.mailbox import Mailbox, StoredMessage

FOLDERS = {"Inbox": "INBOX", "Sent": "SENT", "Drafts": "DRAFT", "Spam": "SPAM", "Bin": "TRASH"}
SHOWN = 200
MOVES = {  # name: (title, labels added, labels taken away)
    "spam": ("Move to spam", {"SPAM"}, {"INBOX"}), "inbox": ("Move to inbox", {"INBOX"}, {"SPAM", "TRASH"}),
    "bin": ("Move to bin", {"TRASH"}, {"INBOX"}), "read": ("Mark as read", set(), {"UNREAD"}),
}  # fmt: skip


def add_mail_pages(console: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_mailboxes(console, application)
    _add_messages(console, application)
    _add_writing(console, application)
    _add_arrivals(console, application)


def _add_mailboxes(console: Blueprint, application: Application) -> None:
    world = application.world

    @console.get("/")
    def list_mailboxes() -> str:
        boxes = sorted(world.mailboxes.values(), key=lambda box: box.address)
        return render_template("console/mailboxes.html", boxes=[describe_mailbox(world, box) for box in boxes], sorts=SORTS)

    @console.post("/mailboxes")
    def add_mailbox() -> BaseResponse:
        values = {name: request.form[name] for name in ("address", "name") if request.form.get(name)}
        provider, kind = SORTS.get(request.form.get("sort", ""), ("google", "consumer"))
        mailbox = world.create_mailbox(**mailbox_values({**values, "provider": provider, "kind": kind}))
        return redirect(url_for("console.show_mailbox", address=mailbox.address), 303)

    @console.get("/mailboxes/<address>")
    def show_mailbox(address: str) -> str:
        with world.lock:
            mailbox = existing_mailbox(world, address)
            messages = mailbox.by_date()
        label = request.args.get("label", "")
        found = [m for m in messages if not label or label in m.labels]
        return render_template(
            "console/mailbox.html", box=describe_mailbox(world, mailbox), label=label, folders=FOLDERS,
            messages=[describe_message(m) for m in found[:SHOWN]], total=len(found),
        )  # fmt: skip


def _add_messages(console: Blueprint, application: Application) -> None:
    world = application.world

    @console.get("/mailboxes/<address>/messages/<message_id>")
    def show_message(address: str, message_id: str) -> str:
        with world.lock:
            mailbox = existing_mailbox(world, address)
            chosen = existing_message(mailbox, message_id)
            thread = [mailbox.messages[mid] for mid in mailbox.threads[chosen.thread_id]]
        return render_template(
            "console/message.html", box=mailbox, chosen=chosen.id, moves=MOVES, subject=chosen.subject,
            messages=[describe_message(message) for message in sorted(thread, key=lambda m: m.internal_date)],
        )  # fmt: skip

    @console.get("/mailboxes/<address>/messages/<message_id>/source")
    def show_source(address: str, message_id: str) -> Response:
        message = existing_message(existing_mailbox(world, address), message_id)
        return Response(message.raw, content_type="text/plain; charset=utf-8")

    @console.post("/mailboxes/<address>/messages/<message_id>/move")
    def move_message(address: str, message_id: str) -> BaseResponse:
        with world.lock:
            mailbox = existing_mailbox(world, address)
            message = existing_message(mailbox, message_id)
            if request.form.get("to") == "nowhere":
                world.changed(mailbox, message, [mailbox.remove(message)])
            elif move := MOVES.get(request.form.get("to", "")):
                world.changed(mailbox, message, mailbox.relabel(message, set(move[1]), set(move[2])))
        return redirect(url_for("console.show_mailbox", address=mailbox.address), 303)


def _started_letter(mailbox: Mailbox, parent: StoredMessage | None, kind: str) -> Letter:
    """The fields of an answer as a person finds them in the form."""
    if parent is None:
        return Letter()
    if kind == "forward":
        return Letter(forward_of=parent.id)
    to, cc = reply_addresses(mailbox, parent, kind == "reply_all")
    return Letter(", ".join(to), ", ".join(cc), reply_to=parent.id)


def _letter_from_form() -> Letter:
    names = ("to", "cc", "bcc", "subject", "reply_to", "forward_of")
    values: dict[str, Any] = {name: request.form.get(name, "").strip() for name in names}
    if not (values["to"] or values["cc"] or values["bcc"]):
        raise BadInput("Write at least one recipient.")
    values["text"] = request.form.get("text", "")
    files = [(upload.filename, upload.read()) for upload in request.files.getlist("files") if upload.filename]
    return Letter(**values, files=files)


def _add_writing(console: Blueprint, application: Application) -> None:
    world, client = application.world, application.web_client

    @console.get("/mailboxes/<address>/write")
    def write_mail(address: str) -> str:
        mailbox = existing_mailbox(world, address)
        about, kind = request.args.get("message", ""), request.args.get("kind", "new")
        parent = existing_message(mailbox, about) if about else None
        letter = _started_letter(mailbox, parent, kind)
        people = sorted(world.mailboxes)
        return render_template("console/write.html", box=mailbox, letter=letter, parent=parent, kind=kind, people=people)

    @console.post("/mailboxes/<address>/write")
    def send_mail(address: str) -> BaseResponse:
        mailbox = existing_mailbox(world, address)
        sent = client.send(mailbox, _letter_from_form())
        target = url_for("console.show_message", address=mailbox.address, message_id=sent.id)
        return redirect(target, 303)


def _add_arrivals(console: Blueprint, application: Application) -> None:
    world, post = application.world, application.post

    @console.get("/arrivals")
    def choose_arrival() -> str:
        return render_template("console/arrivals.html", kinds=KINDS, people=sorted(world.mailboxes))

    @console.post("/arrivals")
    def deliver_odd_mail() -> BaseResponse:
        to = mail_address(request.form.get("to"), "to")
        sender = mail_address(request.form.get("from"), "from")
        raw, arrival = odd_mail(request.form.get("kind", ""), sender, to, world.clock.now())
        mailbox = existing_mailbox(world, to)
        post.receive(raw, [to], arrival)
        return redirect(url_for("console.show_mailbox", address=mailbox.address), 303)
