"""Graph mail: the way in, who may call, how many calls at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sandbox.delivery import Post
from sandbox.faults import sleep_ms
from sandbox.http import ApiError, Request, Response
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft.attachments import UploadSessions
from sandbox.microsoft.batch import answer_batch
from sandbox.microsoft.operations import Call, Operations
from sandbox.microsoft.routes import find_route
from sandbox.microsoft.sending import OutlookSender
from sandbox.microsoft.subscriptions import Subscriptions
from sandbox.microsoft.tokens import caller
from sandbox.push import Pusher
from sandbox.state import World

PREFIX = "/graph/v1.0/"
MAX_IN_FLIGHT = 4  # for each app and mailbox (https://learn.microsoft.com/graph/throttling-limits)


class Graph:
    """The API under /graph and the upload sessions under /graph-upload."""

    def __init__(self, world: World, post: Post) -> None:
        self.world = world
        self.sender = OutlookSender(world, post)
        self.uploads = UploadSessions(world)
        self.subscriptions = Subscriptions(world)
        self.operations = Operations(world, self.sender, self.uploads, self.subscriptions)
        self.handled: Callable[[Request], Response] = self.answer  # of a call in a batch; the application adds faults
        self._lock = threading.Lock()
        self._flying: dict[str, int] = {}

    def listen(self, pusher: Pusher) -> None:
        """Send notices of subscriptions, and mail that leaves late, in the background of `pusher`."""
        self.subscriptions.later = self.sender.later = pusher.later
        self.world.listeners.append(self.subscriptions.on_change)

    # the way in ------------------------------------------------------------------------------------------------------

    def owner(self, request: Request) -> str:
        """Whose call it is, as far as fault rules need to know before it is answered; "" when nobody can say."""
        if request.path.startswith("/graph-upload/"):
            return self.uploads.owner(request.path)
        return self.world.ms_tokens.owner(request.bearer)

    def answer(self, request: Request) -> Response:
        """Answer a call. Never raises ApiError."""
        self.sender.settle()
        _ = request.body  # also of a call that is refused: what is left unread would break the next call
        address = self.owner(request)
        try:
            response = self._answered(request, address)
        except ApiError as error:
            response = error.response
        response.mailbox = address
        return response

    def _answered(self, request: Request, address: str) -> Response:
        if request.path.startswith("/graph-upload/"):
            return self._one_of_four(address, lambda: self.uploads.answer(request))
        if not request.path.startswith(PREFIX):
            raise errors.no_such_path(request.path)
        mailbox, scopes = caller(self.world, request.bearer)
        path = request.path.removeprefix(PREFIX)
        if path.strip("/") == "$batch":
            return answer_batch(request, self.handled, self.world.quirks, address)
        name, arguments, allowed = find_route(request.method, path)
        if not {scope.lower() for scope in scopes} & set(allowed):
            raise errors.access_denied()
        if name != "me" and not mailbox.mail_enabled:
            text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise errors.fail(404, "MailboxNotEnabledForRESTAPI", text)
        call = Call(request, mailbox, arguments)
        if request.in_batch or name.endswith("subscription"):  # a handshake calls back into the app, which may call us
            return self._run(name, call)
        return self._one_of_four(address, lambda: self._run(name, call))

    def _run(self, name: str, call: Call) -> Response:
        operation: Callable[[Call], Response] = getattr(self.operations, name)
        return operation(call)

    def _one_of_four(self, address: str, run: Callable[[], Response]) -> Response:
        with self._lock:
            if self._flying.get(address, 0) >= MAX_IN_FLIGHT:
                after = self.world.quirks.take("ms_no_retry_after", address)
                raise errors.too_many_in_flight(None if after else 1)
            self._flying[address] = self._flying.get(address, 0) + 1
        try:
            sleep_ms(int(self.world.quirks.take("ms_slow_ms", address) or 0))
            return run()
        finally:
            with self._lock:
                self._flying[address] -= 1
