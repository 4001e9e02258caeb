"""One WSGI application: the API side answers by itself, pages and control plane go through Flask.

Faults, latency and the request log stand in front of everything that plays the provider, never in front of the
control plane.
"""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from flask import request as flask_request
from werkzeug.exceptions import HTTPException

from sandbox.delivery import Post
from sandbox.faults import FaultRule, sleep_ms
from sandbox.google import errors
from sandbox.google.batch import answer_batch
from sandbox.google.gmail import Gmail
from sandbox.google.oauth import OAuth
from sandbox.google.pages import build_pages
from sandbox.http import ConnectionDropped, Request, Response, request_from_environ
from sandbox.microsoft.graph import Graph
from sandbox.microsoft.oauth import MsOAuth
from sandbox.microsoft.pages import build_ms_pages
from sandbox.people import WebClient
from sandbox.push import Pusher
from sandbox.state import World

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
API_PREFIXES = ("/gmail/", "/upload/", "/resumable/", "/batch")
GRAPH_PREFIXES = ("/graph/", "/graph-upload/")
LOGIN_PREFIXES = ("/google/", "/microsoft/")
PROVIDER_PREFIXES = (*API_PREFIXES, *GRAPH_PREFIXES, *LOGIN_PREFIXES)


class Application:
    """The stand-in as a WSGI application over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.post = Post(world)
        self.gmail = Gmail(world, self.post)
        self.oauth = OAuth(world)
        self.graph = Graph(world, self.post)
        self.web_client = WebClient(self.post, self.gmail.sender, self.graph.sender)
        self.ms_oauth = MsOAuth(world)
        self.pusher = Pusher(world)
        self.graph.handled = self.handled
        self.graph.listen(self.pusher)
        self.flask: Any = self._build_flask()  # Any: called as plain WSGI

    def _build_flask(self) -> Flask:
        from sandbox.console.views import build_console
        from sandbox.control import build_control

        app = Flask("sandbox", root_path=str(Path(__file__).parent))
        app.config["MAX_CONTENT_LENGTH"] = 64 * 1024 * 1024
        app.config["MAX_FORM_MEMORY_SIZE"] = 16 * 1024 * 1024
        app.before_request(_refuse_other_sites)
        app.register_error_handler(HTTPException, _say_it_in_json)
        app.register_blueprint(build_pages(self.world))
        app.register_blueprint(build_ms_pages(self.world))
        app.register_blueprint(build_control(self))
        app.register_blueprint(build_console(self))
        return app

    def reset(self) -> None:
        """Nobody, nothing sent, no faults, no notice waiting."""
        self.pusher.reset()
        self.graph.subscriptions.sent.clear()
        self.world.reset()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(PROVIDER_PREFIXES):
            return self.flask(environ, start_response)
        sleep_ms(self.world.knobs.latency_ms)
        request = request_from_environ(environ)
        try:
            response = self.handled(request, environ)
        except ConnectionDropped:
            _reset_connection(environ)
            return [b""]
        return _emit(environ, start_response, response)

    def handled(self, request: Request, environ: dict[str, Any] | None = None) -> Response:
        """The answer to a provider call, faults included. Raises ConnectionDropped."""
        mailbox = self._mailbox(request)
        rule = self.world.faults.bite(request.method, request.path, mailbox)
        if rule is None:
            response = self._real(request, environ)
            self.world.log.add(request, response)
            return response
        return self._faulty(request, environ, rule, mailbox)

    def _faulty(self, request: Request, environ: dict[str, Any] | None, rule: FaultRule, mailbox: str) -> Response:
        name = rule.name or f"rule {rule.id}"
        # A late answer comes after its effect: a client that gave up must be able to find what happened.
        real = self._real(request, environ) if rule.needs_effect else None
        sleep_ms(rule.delay_ms)
        try:
            response = rule.answer(real, request.path)
        except ConnectionDropped:
            self.world.log.add(request, None, name)
            raise
        response.mailbox = response.mailbox or mailbox
        self.world.log.add(request, response, name)
        return response

    def _mailbox(self, request: Request) -> str:
        """Whose call it is, as far as rules need to know before it is answered."""
        if not self.world.faults.rules:
            return ""
        if request.path.startswith("/google/"):
            return self.oauth.owner(request.form())
        if request.path.startswith("/microsoft/"):
            return self.ms_oauth.owner(request.form())
        if request.path.startswith(GRAPH_PREFIXES):
            return self.graph.owner(request)
        return self.world.tokens.owner(request.bearer)

    def _real(self, request: Request, environ: dict[str, Any] | None) -> Response:
        if request.path.startswith("/batch"):
            try:
                return answer_batch(request, self.handled, self.world.quirks, self.world.knobs.part_latency_ms)
            except errors.ApiError as error:
                return error.response
        if request.path.startswith(API_PREFIXES):
            return self._limited(request)
        if request.path.startswith(GRAPH_PREFIXES):
            return self.graph.answer(request)
        login = self.ms_oauth if request.path.startswith("/microsoft/") else self.oauth
        return login.answer(request) or self._page(request, environ or {})

    def _limited(self, request: Request) -> Response:
        """A Gmail call under the cap of calls in flight per user, when one is set."""
        quota = self.world.quota
        if not quota.max_concurrent_per_user:
            return self.gmail.answer(request)
        user = self.world.tokens.owner(request.bearer)
        # The parts of a batch run side by side: those above the cap are refused.
        if request.batch_index >= quota.max_concurrent_per_user or not quota.enter(user):
            return errors.too_many_concurrent().response
        try:
            if not request.in_batch:
                time.sleep(0.001)  # calls without latency would never overlap
            return self.gmail.answer(request)
        finally:
            quota.leave(user)

    def _page(self, request: Request, environ: dict[str, Any]) -> Response:
        """A page for people, made by Flask."""
        if request._body is not None:
            environ["wsgi.input"] = io.BytesIO(request.body)
        made: list[Any] = []

        def capture(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
            made[:] = [status, headers]

        body = b"".join(self.flask.wsgi_app(environ, capture))
        headers = [(name, value) for name, value in made[1] if name.lower() != "content-length"]
        return Response(int(made[0].split(" ", 1)[0]), body, headers)


def _refuse_other_sites() -> tuple[str, int] | None:
    """A page of another site, open in the same browser, may not press buttons here."""
    is_foreign = flask_request.headers.get("Sec-Fetch-Site") == "cross-site"
    if is_foreign and not flask_request.path.startswith(LOGIN_PREFIXES) and flask_request.method != "GET":
        return "another site may not do this", 403
    return None


def _say_it_in_json(error: HTTPException) -> Any:
    """Errors of the control plane are JSON, also 404 and 405."""
    if flask_request.path.startswith("/__ctl"):
        return {"error": error.description or error.name}, error.code or 500
    return error


def _emit(environ: dict[str, Any], start_response: StartResponse, response: Response) -> Iterable[bytes]:
    length = str(len(response.body))
    start_response(response.status_line, [*response.headers, ("Content-Length", length)])
    if response.cut_at is not None:
        return _cut(environ, response.body[: response.cut_at])
    if response.drip_bytes_per_second:
        return _drip(response.body, response.drip_bytes_per_second)
    return [response.body]


def _drip(body: bytes, per_second: int) -> Iterator[bytes]:
    step = max(1, per_second // 10)
    for at in range(0, len(body), step):
        yield body[at : at + step]
        time.sleep(step / per_second)


def _cut(environ: dict[str, Any], part: bytes) -> Iterator[bytes]:
    yield part
    _reset_connection(environ, hard=False)


def _reset_connection(environ: dict[str, Any], hard: bool = True) -> None:
    """Close the client's connection under the server: at once with a reset, or softly after what was sent."""
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is None:
        return
    try:
        if hard:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client has gone already
