"""The pages of Google that people see on the way: account chooser, password, consent with a box per permission."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox.google.oauth import SIGN_IN, normal_scopes
from sandbox.google.tokens import Code
from sandbox.mailbox import Mailbox
from sandbox.state import World

FLOW_SECONDS = 3600
PERMISSIONS = {
    "https://www.googleapis.com/auth/gmail.readonly": "View your email messages and settings",
    "https://www.googleapis.com/auth/gmail.send": "Send email on your behalf",
    "https://www.googleapis.com/auth/gmail.modify": "Read, compose and send emails from your Gmail account",
    "https://www.googleapis.com/auth/gmail.compose": "Manage drafts and send emails",
    "https://www.googleapis.com/auth/gmail.metadata": "View your email message metadata such as labels and headers",
    "https://www.googleapis.com/auth/gmail.insert": "Add emails into your Gmail mailbox",
    "https://www.googleapis.com/auth/gmail.labels": "See and edit your email labels",
    "https://www.googleapis.com/auth/gmail.settings.basic": "See, edit, create or change your email settings and filters",
    "https://mail.google.com/": "Read, compose, send and permanently delete all your email from Gmail",
}


@dataclass
class Flow:
    """One authorization request on its way through the pages."""

    parameters: dict[str, str]
    scopes: list[str]
    created: float
    mailbox: str = ""

    @property
    def boxes(self) -> list[tuple[str, str]]:
        """The permissions that get a box: all but those of sign-in."""
        return [(scope, PERMISSIONS.get(scope, scope)) for scope in self.scopes if scope not in SIGN_IN]


def request_problem(world: World, given: dict[str, str]) -> tuple[str, str]:
    """(Google's error name, explanation) of a request that Google itself refuses, or two empty strings."""
    if given.get("client_id") != world.settings.client_id:
        return "invalid_client", "The OAuth client was not found."
    if given.get("redirect_uri") not in world.redirect_uris:
        return "redirect_uri_mismatch", "The redirect URI in the request does not match the ones authorized."
    if given.get("response_type") != "code":
        return "invalid_request", "Required parameter is missing or unsupported: response_type"
    if not given.get("scope", "").split():
        return "invalid_request", "Missing required parameter: scope"
    unknown = [s for s in normal_scopes(given["scope"]) if s not in SIGN_IN and s not in PERMISSIONS]
    if unknown:
        return "invalid_scope", f"Some requested scopes were invalid: {' '.join(unknown)}"
    if given.get("code_challenge_method", "plain") not in ("S256", "plain"):
        return "invalid_request", "Invalid code_challenge_method"
    return "", ""


def build_pages(world: World) -> Blueprint:
    """The blueprint of the pages under /google."""
    blueprint = Blueprint("google", __name__, url_prefix="/google")
    pages = _Pages(world)
    blueprint.get("/o/oauth2/v2/auth")(pages.authorize)
    blueprint.get("/choose")(pages.choose)
    blueprint.post("/signin")(pages.sign_in)
    blueprint.post("/consent")(pages.consent)
    return blueprint


class _Pages:
    """The pages over one world, with the requests that are on their way through them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._flows: dict[str, Flow] = {}

    def _back(self, flow: Flow, **answer: str) -> BaseResponse:
        """To the portal's redirect URI, with `state` as it came."""
        if "state" in flow.parameters:
            answer["state"] = flow.parameters["state"]
        target = flow.parameters["redirect_uri"]
        return redirect(target + ("&" if "?" in target else "?") + urlencode(answer), 302)

    def _page(self, name: str, status: int = 200, **values: object) -> Response:
        response = make_response(
            render_template(f"google/{name}.html", app_name=self.world.settings.app_name, status=status, **values), status
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _current_flow(self) -> tuple[str, Flow | None]:
        key = request.form.get("flow", "") or request.args.get("flow", "")
        flow = self._flows.get(key)
        if flow and self.world.clock.now() - flow.created > FLOW_SECONDS:
            flow = None
        return key, flow

    def _refused(self, error: str, text: str, status: int = 400) -> Response:
        """The page that Google shows in place of going back to the app."""
        return self._page("error", status, error=error, text=text)

    def _show(self, key: str, flow: Flow, problem: str = "", status: int = 200, ticked: bool = False) -> BaseResponse:
        """The next page of a flow: consent when somebody is signed in, else the account chooser."""
        mailbox = self.world.mailboxes.get(flow.mailbox)
        if mailbox is None:
            people = sorted(self.world.mailboxes.values(), key=lambda box: box.address)
            hint = flow.parameters.get("login_hint", "")
            chosen = find_account(self.world, request.form.get("email", "") or hint)
            return self._page("sign_in", status, flow=key, people=people, problem=problem, chosen=chosen)
        return self._page("consent", status, flow=key, boxes=flow.boxes, mailbox=mailbox, ticked=ticked)

    def _may_skip_consent(self, flow: Flow, mailbox: Mailbox) -> bool:
        """Whether the person has agreed to all of it before and the app does not insist on asking again."""
        is_known = set(flow.scopes) <= self.world.tokens.grants.get(mailbox.address, set())
        return is_known and "consent" not in flow.parameters.get("prompt", "").split()

    def _finish(self, key: str, flow: Flow, mailbox: Mailbox, scopes: list[str]) -> BaseResponse:
        self._flows.pop(key, None)
        return self._back(flow, **issue_code(self.world, flow, mailbox, scopes))

    def authorize(self) -> BaseResponse:
        """The authorization endpoint: the way in, checked as Google checks it."""
        given = {name: request.args[name] for name in request.args}
        error, text = request_problem(self.world, given)
        if error:
            return self._refused(error, text, 401 if error == "invalid_client" else 400)
        flow = Flow(given, normal_scopes(given["scope"]), self.world.clock.now())
        hinted = find_account(self.world, given.get("login_hint", ""))
        if hinted and "select_account" not in given.get("prompt", "").split():
            flow.mailbox = hinted.address
        if given.get("prompt") == "none" and not hinted:
            return self._back(flow, error="interaction_required")
        key = secrets.token_urlsafe(24)
        self._flows[key] = flow
        if hinted and flow.mailbox and self._may_skip_consent(flow, hinted):
            return self._finish(key, flow, hinted, flow.scopes)
        return self._show(key, flow)

    def choose(self) -> BaseResponse:
        """Back to the account chooser."""
        key, flow = self._current_flow()
        if flow is None:
            return self._refused("invalid_request", "This request has expired.")
        flow.mailbox = ""
        return self._show(key, flow)

    def sign_in(self) -> BaseResponse:
        """An account was chosen and its password given."""
        key, flow = self._current_flow()
        if flow is None:
            return self._refused("invalid_request", "This request has expired.")
        mailbox = find_account(self.world, request.form.get("email", ""))
        if mailbox is None:
            return self._show(key, flow, "Couldn't find your Google Account.", 400)
        if not secrets.compare_digest(request.form.get("password", "").encode(), mailbox.password.encode()):
            return self._show(key, flow, "Wrong password. Try again.", 400)
        flow.mailbox = mailbox.address
        if self._may_skip_consent(flow, mailbox):
            return self._finish(key, flow, mailbox, flow.scopes)
        return self._show(key, flow)

    def consent(self) -> BaseResponse:
        """The boxes were ticked, or the person went back."""
        key, flow = self._current_flow()
        mailbox = self.world.mailboxes.get(flow.mailbox) if flow else None
        if flow is None or mailbox is None:
            return self._refused("invalid_request", "This request has expired.")
        if request.form.get("decision") == "select_all":
            return self._show(key, flow, ticked=True)
        if request.form.get("decision") != "allow":
            self._flows.pop(key, None)
            return self._back(flow, error="access_denied")
        ticked = set(request.form.getlist("scope"))
        scopes = [scope for scope in flow.scopes if scope in SIGN_IN or scope in ticked]
        return self._finish(key, flow, mailbox, scopes)


def find_account(world: World, hint: str) -> Mailbox | None:
    """The account of an address or of a `sub`."""
    if not hint:
        return None
    found = world.mailbox_for(hint) if "@" in hint else None
    return found or next((box for box in world.mailboxes.values() if box.sub == hint), None)


def issue_code(world: World, flow: Flow, mailbox: Mailbox, scopes: list[str]) -> dict[str, str]:
    """The callback's parameters for a consent to `scopes`."""
    given = flow.parameters
    limited = world.quirks.take("token_scope", mailbox.address)
    if isinstance(limited, str):
        scopes = [scope for scope in scopes if scope in normal_scopes(limited)]
    returning = mailbox.address in world.tokens.grants
    if given.get("include_granted_scopes") == "true":
        scopes = list(dict.fromkeys([*scopes, *sorted(world.tokens.grants.get(mailbox.address, ()))]))
    # A returning user gets a refresh token only after prompt=consent.
    offline = given.get("access_type") == "offline" and (not returning or "consent" in given.get("prompt", "").split())
    code = world.tokens.issue_code(Code(
        mailbox.address, scopes, given["redirect_uri"], given.get("code_challenge", ""),
        given.get("code_challenge_method", "plain"), given.get("nonce", ""), offline, world.clock.now(),
    ))  # fmt: skip
    answer = {"code": code, "scope": " ".join(scopes), "authuser": "0", "prompt": given.get("prompt") or "none"}
    if mailbox.kind == "workspace":
        answer["hd"] = mailbox.address.rpartition("@")[2]
    return answer
