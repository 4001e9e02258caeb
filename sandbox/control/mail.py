"""Mail under `/__ctl`: let some arrive, look at what lies in a mailbox, act as its owner, and the sink."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from sandbox.delivery import Arrival
from sandbox.describe import describe_message, describe_sink_mail, oldest_first
from sandbox.inputs import BadInput, check_fields, json_object, mail_address, text_list, whole_number
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.mime import from_base64url
from sandbox.people import Letter
from sandbox.state import World

if TYPE_CHECKING:
    from sandbox.app import Application

VERDICTS = ("pass", "fail", "none")
LETTER: dict[str, Any] = {
    "to": (str, list), "cc": (str, list), "bcc": (str, list), "subject": str, "text": str, "html": str,
    "sender": str, "reply_to": str, "reply_all": bool, "forward_of": str, "headers": dict, "attachments": list,
}  # fmt: skip


def existing_mailbox(world: World, address: str) -> Mailbox:
    """The mailbox that receives mail for `address`. Raises BadInput (404)."""
    found = world.mailbox_for(address)
    if found is None:
        raise BadInput(f"no mailbox {address}; POST /__ctl/mailboxes makes one", 404)
    return found


def existing_message(mailbox: Mailbox, message_id: str) -> StoredMessage:
    """A message of the mailbox. Raises BadInput (404)."""
    found = mailbox.messages.get(message_id)
    if found is None:
        raise BadInput(f"no message {message_id} in {mailbox.address}", 404)
    return found


def arrival_from_query() -> Arrival:
    """How the mail of this request shall arrive. Raises BadInput."""
    given = request.args
    auth = given.get("auth", "pass")
    if auth not in VERDICTS:
        raise BadInput(f"auth must be one of {', '.join(VERDICTS)}")
    date = given.get("internal_date")
    labels = [label for value in given.getlist("labels") for label in value.split(",") if label]
    return Arrival(
        mail_from=mail_address(given["from"], "from") if given.get("from") else "",
        labels=frozenset(labels), internal_date=whole_number(date, "internal_date") if date else None,
        auth=auth, exact=given.get("exact", "").lower() in ("1", "true", "yes"),
    )  # fmt: skip


def _bulk_mail(item: Any) -> tuple[bytes, list[str], Arrival]:
    """One of many mails: `{"to": [...], "raw": base64url, "from"?, "internal_date"?, "labels"?}`. Raises BadInput."""
    if not isinstance(item, dict):
        raise BadInput("mails must be a list of objects")
    known: dict[str, Any] = {"to": list, "raw": str, "from": str, "internal_date": int, "labels": list}
    given = check_fields(item, known, ("to", "raw"))
    try:
        raw = from_base64url(given["raw"])
    except ValueError:
        raise BadInput("raw must be base64url") from None
    labels = frozenset(text_list(given.get("labels", []), "labels"))
    arrival = Arrival(given.get("from", ""), labels, given.get("internal_date"))
    return raw, [mail_address(address, "to") for address in text_list(given["to"], "to")], arrival


def letter_from(values: dict[str, Any]) -> Letter:
    """A letter from JSON; attachments are `{"name", "content" (base64) or "text"}`. Raises BadInput."""
    given = check_fields(values, LETTER)
    files = [_file(item) for item in given.pop("attachments", [])]
    for name in ("to", "cc", "bcc"):
        if isinstance(given.get(name), list):
            given[name] = ", ".join(text_list(given[name], name))
    if not all(isinstance(value, str) for value in given.get("headers", {}).values()):
        raise BadInput("headers must be an object of texts")
    return Letter(**given, files=files)


def _file(item: Any) -> tuple[str, bytes]:
    if not isinstance(item, dict):
        raise BadInput("attachments must be a list of objects")
    given = check_fields(item, {"name": str, "content": str, "text": str}, required=("name",))
    try:
        data = base64.b64decode(given["content"], validate=True) if "content" in given else given.get("text", "").encode()
    except ValueError:
        raise BadInput("the content of an attachment must be base64") from None
    return given["name"], data


def add_mail_routes(control: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_arrivals(control, application)
    _add_messages(control, application)
    _add_person(control, application)
    _add_sink(control, application)


def _add_arrivals(control: Blueprint, application: Application) -> None:
    post = application.post

    @control.post("/mail")
    def deliver_mail() -> tuple[dict[str, Any], int]:
        recipients = [mail_address(value, "to") for value in request.args.getlist("to")]
        if not recipients:
            raise BadInput("to is missing: POST /__ctl/mail?to=ADDRESS[&to=…][&from=ADDRESS]")
        raw, arrival = request.get_data(), arrival_from_query()
        delivered, elsewhere = post.receive(raw, recipients, arrival)
        unknown = post.world.router.hand_over(raw, arrival.mail_from, elsewhere)
        if not delivered and len(unknown) == len(elsewhere):
            raise BadInput(f"no mailbox receives mail for {', '.join(unknown)}", 404)
        return {"ids": delivered, "unknown": unknown}, 201

    @control.post("/mails")
    def deliver_many() -> tuple[dict[str, Any], int]:
        given = check_fields(json_object(request.get_data()), {"mails": list}, ("mails",))
        mails = [_bulk_mail(item) for item in given["mails"]]
        return {"ids": [post.receive(raw, to, arrival)[0] for raw, to, arrival in mails]}, 201


def _add_messages(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/mailboxes/<address>/messages")
    def list_mail(address: str) -> dict[str, Any]:
        with world.lock:
            found = oldest_first(existing_mailbox(world, address))
        label, thread = request.args.get("label"), request.args.get("thread_id")
        return {"messages": [
            describe_message(message) for message in found
            if (not label or label in message.labels) and (not thread or message.thread_id == thread)
        ]}  # fmt: skip

    @control.get("/mailboxes/<address>/messages/<message_id>")
    def read_raw(address: str, message_id: str) -> Response:
        message = existing_message(existing_mailbox(world, address), message_id)
        return Response(message.raw, content_type="message/rfc822")

    @control.post("/mailboxes/<address>/messages/<message_id>/labels")
    def relabel_message(address: str, message_id: str) -> dict[str, Any]:
        given = check_fields(json_object(request.get_data()), {"add": list, "remove": list})
        add, remove = (set(text_list(given.get(name, []), name)) for name in ("add", "remove"))
        with world.lock:
            mailbox = existing_mailbox(world, address)
            message = existing_message(mailbox, message_id)
            world.changed(mailbox, message, mailbox.relabel(message, add, remove))
        return describe_message(message)

    @control.delete("/mailboxes/<address>/messages/<message_id>")
    def delete_message(address: str, message_id: str) -> tuple[str, int]:
        with world.lock:
            mailbox = existing_mailbox(world, address)
            message = existing_message(mailbox, message_id)
            world.changed(mailbox, message, [mailbox.remove(message)])
        return "", 204


def _add_person(control: Blueprint, application: Application) -> None:
    world, client = application.world, application.web_client

    @control.post("/mailboxes/<address>/send")
    def send_as_person(address: str) -> tuple[dict[str, Any], int]:
        letter = letter_from(json_object(request.get_data()))
        return describe_message(client.send(existing_mailbox(world, address), letter)), 201

    @control.post("/mailboxes/<address>/drafts")
    def save_draft(address: str) -> tuple[dict[str, Any], int]:
        values = json_object(request.get_data())
        draft_id = str(values.pop("draft_id", "") or "")
        draft_id, message = client.save_draft(existing_mailbox(world, address), letter_from(values), draft_id)
        return {"draft_id": draft_id, **describe_message(message)}, 201

    @control.post("/mailboxes/<address>/drafts/<draft_id>/send")
    def send_draft(address: str, draft_id: str) -> tuple[dict[str, Any], int]:
        return describe_message(client.send_draft(existing_mailbox(world, address), draft_id)), 201


def _add_sink(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/sink")
    def list_sink() -> dict[str, Any]:
        with_text = request.args.get("text", "1") != "0"
        mails = world.sink.mails(request.args.get("to", ""))
        limit = whole_number(request.args["limit"], "limit", 1) if request.args.get("limit") else len(mails)
        return {"mails": [describe_sink_mail(mail, with_text=with_text) for mail in mails[-limit:]]}

    @control.get("/sink/count")
    def count_sink() -> dict[str, Any]:
        return {"mails": len(world.sink), "recipients": world.sink.recipients()}

    @control.get("/sink/<mail_id>")
    def read_sink_mail(mail_id: str) -> Response:
        found = next((mail for mail in world.sink.mails() if mail.id == mail_id), None)
        if found is None:
            raise BadInput(f"no mail {mail_id} in the sink", 404)
        return Response(found.raw, content_type="message/rfc822")

    @control.delete("/sink")
    def empty_sink() -> tuple[str, int]:
        world.empty_sink()
        return "", 204
