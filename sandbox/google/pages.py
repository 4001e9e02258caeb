"""The pages of Google that people see on the way: account chooser, password, consent with a box per permission."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox.authorization import Flow, Flows, is_same
from sandbox.google.oauth import SIGN_IN, normal_scopes
from sandbox.mailbox import Mailbox
from sandbox.state import World
from sandbox.tokens import Code

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


def boxes(flow: Flow) -> list[tuple[str, str]]:
    """The permissions that get a box: all but those of sign-in."""
    return [(scope, PERMISSIONS.get(scope, scope)) for scope in flow.scopes if scope not in SIGN_IN]


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
        self._flows = Flows(world.clock)

    def _page(self, name: str, status: int = 200, **values: object) -> Response:
        response = make_response(
            render_template(f"google/{name}.html", app_name=self.world.settings.app_name, status=status, **values), status
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refused(self, error: str, text: str, status: int = 400) -> Response:
        """The page that Google shows in place of going back to the app."""
        return self._page("error", status, error=error, text=text)

    def _show(self, key: str, flow: Flow, problem: str = "", status: int = 200, ticked: bool = False) -> BaseResponse:
        """The next page of a flow: consent when somebody is signed in, else the account chooser."""
        mailbox = self.world.mailboxes.get(flow.mailbox)
        if mailbox is None:
            people = self.world.accounts("google")
            hint = flow.parameters.get("login_hint", "")
            chosen = self.world.find_account("google", request.form.get("email", "") or hint)
            return self._page("sign_in", status, flow=key, people=people, problem=problem, chosen=chosen)
        return self._page("consent", status, flow=key, boxes=boxes(flow), mailbox=mailbox, ticked=ticked)

    def _may_skip_consent(self, flow: Flow, mailbox: Mailbox) -> bool:
        """Whether the person has agreed to all of it before and the app does not insist on asking again."""
        is_known = set(flow.scopes) <= self.world.tokens.grants.get(mailbox.address, set())
        return is_known and not flow.asks_for("consent")

    def _finish(self, key: str, flow: Flow, mailbox: Mailbox, scopes: list[str]) -> BaseResponse:
        self._flows.end(key)
        return flow.back(**issue_code(self.world, flow, mailbox, scopes))

    def authorize(self) -> BaseResponse:
        """The authorization endpoint: the way in, checked as Google checks it."""
        given = {name: request.args[name] for name in request.args}
        error, text = request_problem(self.world, given)
        if error:
            return self._refused(error, text, 401 if error == "invalid_client" else 400)
        key, flow = self._flows.begin(given, normal_scopes(given["scope"]))
        hinted = self.world.find_account("google", given.get("login_hint", ""))
        if hinted and not flow.asks_for("select_account"):
            flow.mailbox = hinted.address
        if given.get("prompt") == "none" and not hinted:
            self._flows.end(key)
            return flow.back(error="interaction_required")
        if hinted and flow.mailbox and self._may_skip_consent(flow, hinted):
            return self._finish(key, flow, hinted, flow.scopes)
        return self._show(key, flow)

    def choose(self) -> BaseResponse:
        """Back to the account chooser."""
        key, flow = self._flows.current()
        if flow is None:
            return self._refused("invalid_request", "This request has expired.")
        flow.mailbox = ""
        return self._show(key, flow)

    def sign_in(self) -> BaseResponse:
        """An account was chosen and its password given."""
        key, flow = self._flows.current()
        if flow is None:
            return self._refused("invalid_request", "This request has expired.")
        mailbox = self.world.find_account("google", request.form.get("email", ""))
        if mailbox is None:
            return self._show(key, flow, "Couldn't find your Google Account.", 400)
        if not is_same(request.form.get("password", ""), mailbox.password):
            return self._show(key, flow, "Wrong password. Try again.", 400)
        flow.mailbox = mailbox.address
        if self._may_skip_consent(flow, mailbox):
            return self._finish(key, flow, mailbox, flow.scopes)
        return self._show(key, flow)

    def consent(self) -> BaseResponse:
        """The boxes were ticked, or the person went back."""
        key, flow = self._flows.current()
        mailbox = self.world.mailboxes.get(flow.mailbox) if flow else None
        if flow is None or mailbox is None:
            return self._refused("invalid_request", "This request has expired.")
        if request.form.get("decision") == "select_all":
            return self._show(key, flow, ticked=True)
        if request.form.get("decision") != "allow":
            self._flows.end(key)
            return flow.back(error="access_denied")
        ticked = set(request.form.getlist("scope"))
        scopes = [scope for scope in flow.scopes if scope in SIGN_IN or scope in ticked]
        return self._finish(key, flow, mailbox, scopes)


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
