"""The operations of Graph mail, each a method named in routes.py."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.http import ApiError, Request, Response, json_response
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft import attachments, ids
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft.delta import list_changes
from sandbox.microsoft.listing import folder_resource, list_folders, list_messages
from sandbox.microsoft.messages import DEFAULT, Prefer, Shown, expanded, selected
from sandbox.microsoft.sending import OutlookSender
from sandbox.microsoft.subscriptions import Subscriptions
from sandbox.microsoft.tokens import graph_id
from sandbox.microsoft.writing import Writer, is_mime, json_body, mime_body
from sandbox.state import World


@dataclass(slots=True)
class Call:
    """An authorised call of one operation."""

    request: Request
    mailbox: Mailbox
    arguments: list[str]

    @property
    def message(self) -> StoredMessage:
        """The message that the path names. Raises ApiError (404, 400)."""
        return ids.find_message(self.mailbox, self.arguments[0])


class Operations:
    """What a caller who may can do."""

    def __init__(
        self, world: World, sender: OutlookSender, uploads: attachments.UploadSessions, subscriptions: Subscriptions
    ) -> None:
        self.world, self.sender, self.uploads, self.subscriptions = world, sender, uploads, subscriptions
        self.writer = Writer(world, sender)

    # people and folders ----------------------------------------------------------------------------------------------

    def me(self, call: Call) -> Response:
        """GET /me; `mail` of a personal account may be null (`ms_me_without_mail`)."""
        box = call.mailbox
        hidden = self.world.quirks.take("ms_me_without_mail", box.address)
        made = {
            "@odata.context": f"http://{call.request.headers.get('host', '')}/graph/v1.0/$metadata#users/$entity",
            "id": graph_id(box), "displayName": box.name, "mail": None if hidden else box.address,
            "userPrincipalName": box.address, "givenName": None, "surname": None, "jobTitle": None,
        }  # fmt: skip
        wanted = [name for name in call.request.first("$select").split(",") if name]
        return json_response({k: v for k, v in made.items() if not wanted or k in wanted or k.startswith("@")})

    def list_folders(self, call: Call) -> Response:
        """GET /me/mailFolders"""
        return list_folders(call.mailbox, call.request)

    def get_folder(self, call: Call) -> Response:
        """GET /me/mailFolders/{id}"""
        return json_response(folder_resource(call.mailbox, ids.folder_named(call.arguments[0], call.mailbox)))

    def list_folder(self, call: Call) -> Response:
        """GET /me/mailFolders/{id}/messages"""
        folder = ids.folder_named(call.arguments[0], call.mailbox)
        return list_messages(self.world, call.mailbox, call.request, folder)

    def list_changes(self, call: Call) -> Response:
        """GET /me/mailFolders/{id}/messages/delta"""
        folder = ids.folder_named(call.arguments[0], call.mailbox)
        return list_changes(self.world, call.mailbox, call.request, folder)

    # messages --------------------------------------------------------------------------------------------------------

    def list_messages(self, call: Call) -> Response:
        """GET /me/messages"""
        return list_messages(self.world, call.mailbox, call.request)

    def get_message(self, call: Call) -> Response:
        """GET /me/messages/{id}"""
        message = call.message
        shown = Shown(call.mailbox, message, Prefer.of(call.request))
        return json_response(shown.resource(selected(call.request), expanded(call.request)))

    def get_mime(self, call: Call) -> Response:
        """GET /me/messages/{id}/$value"""
        message = call.message
        return Response(200, message.raw, [("Content-Type", "text/plain")])

    def _shown(self, call: Call, message: StoredMessage, status: int) -> Response:
        shown = Shown(call.mailbox, message, Prefer.of(call.request))
        return json_response(shown.resource(list(DEFAULT)), status)

    def create_message(self, call: Call) -> Response:
        """POST /me/messages"""
        return self._shown(call, self.writer.create(call.mailbox, call.request), 201)

    def create_reply(self, call: Call, everybody: bool = False) -> Response:
        """POST /me/messages/{id}/createReply"""
        parent = call.message
        return self._shown(call, self.writer.reply(call.mailbox, parent, json_body(call.request), everybody), 201)

    def create_reply_all(self, call: Call) -> Response:
        """POST /me/messages/{id}/createReplyAll"""
        return self.create_reply(call, everybody=True)

    def update_message(self, call: Call) -> Response:
        """PATCH /me/messages/{id}"""
        message = call.message
        return self._shown(call, self.writer.change(call.mailbox, message, json_body(call.request)), 200)

    def move_message(self, call: Call) -> Response:
        """POST /me/messages/{id}/move"""
        message = call.message
        folder = ids.folder_named(str(json_body(call.request).get("destinationId") or ""), call.mailbox)
        return self._shown(call, self.writer.move(call.mailbox, message, folder), 201)

    def delete_message(self, call: Call) -> Response:
        """DELETE /me/messages/{id}"""
        self.writer.delete(call.mailbox, call.message)
        return Response(204)

    def send_draft(self, call: Call) -> Response:
        """POST /me/messages/{id}/send"""
        message = call.message
        attachments.require_draft(message)
        self.sender.send_draft(call.mailbox, message)
        return Response(202)

    def send_mail(self, call: Call) -> Response:
        """POST /me/sendMail: nothing in the answer leads to the mail."""
        if is_mime(call.request):
            self.sender.send(call.mailbox, mime_body(call.request))
            return Response(202)
        fields = json_body(call.request).get("message")
        if not isinstance(fields, dict):
            raise errors.invalid_request("The message is missing.")
        draft = self.writer.from_fields(call.mailbox, fields)
        try:
            self.sender.send_draft(call.mailbox, draft)
        except ApiError:
            with self.world.lock:
                self.world.changed(call.mailbox, draft, [call.mailbox.remove(draft)])
            raise
        return Response(202)

    # attachments -----------------------------------------------------------------------------------------------------

    def list_attachments(self, call: Call) -> Response:
        """GET /me/messages/{id}/attachments"""
        return attachments.list_attachments(call.message, call.request)

    def add_attachment(self, call: Call) -> Response:
        """POST /me/messages/{id}/attachments"""
        return attachments.add_attachment(self.world, call.mailbox, call.message, json_body(call.request))

    def get_attachment(self, call: Call) -> Response:
        """GET /me/messages/{id}/attachments/{id}"""
        return attachments.get_attachment(call.message, call.arguments[1], call.request)

    def get_attachment_value(self, call: Call) -> Response:
        """GET /me/messages/{id}/attachments/{id}/$value"""
        return attachments.get_value(call.message, call.arguments[1])

    def remove_attachment(self, call: Call) -> Response:
        """DELETE /me/messages/{id}/attachments/{id}"""
        return attachments.remove_attachment(self.world, call.mailbox, call.message, call.arguments[1])

    def create_upload(self, call: Call) -> Response:
        """POST /me/messages/{id}/attachments/createUploadSession"""
        return self.uploads.begin(call.mailbox, call.message, json_body(call.request), call.request)

    # subscriptions ---------------------------------------------------------------------------------------------------

    def list_subscriptions(self, call: Call) -> Response:
        """GET /subscriptions"""
        return self.subscriptions.all(call.mailbox)

    def create_subscription(self, call: Call) -> Response:
        """POST /subscriptions"""
        return self.subscriptions.create(call.mailbox, call.request)

    def get_subscription(self, call: Call) -> Response:
        """GET /subscriptions/{id}"""
        return self.subscriptions.shown(call.mailbox, call.arguments[0])

    def renew_subscription(self, call: Call) -> Response:
        """PATCH /subscriptions/{id}"""
        return self.subscriptions.renew(call.mailbox, call.arguments[0], call.request)

    def delete_subscription(self, call: Call) -> Response:
        """DELETE /subscriptions/{id}"""
        return self.subscriptions.remove(call.mailbox, call.arguments[0])

    def reauthorize_subscription(self, call: Call) -> Response:
        """POST /subscriptions/{id}/reauthorize"""
        self.subscriptions.find(call.mailbox, call.arguments[0])
        return Response(204)
