"""The pages of Microsoft that people see on the way: account and password, a code where one is demanded, consent."""

from __future__ import annotations

import secrets

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox.accounts import demand_code
from sandbox.authorization import Flow, Flows, is_same
from sandbox.mailbox import Mailbox
from sandbox.microsoft import errors
from sandbox.microsoft.tokens import CONSUMERS, PERMISSIONS, normal_scopes, tenant_id, unknown_scopes
from sandbox.state import World
from sandbox.tokens import Code

PROMPTS = ("", "login", "none", "consent", "select_account")


def page_problem(world: World, given: dict[str, str]) -> int:
    """The code of a request that must not go back to the app, or 0."""
    if given.get("client_id") != world.settings.ms_client_id:
        return 700016
    if not given.get("redirect_uri"):
        return 900971
    return 0 if given["redirect_uri"] in world.redirect_uris else 50011


def request_problem(given: dict[str, str]) -> tuple[str, str]:
    """(error, description) of a request that goes back to the app at once, or two empty texts."""
    if given.get("response_type") != "code":
        return "unsupported_response_type", "AADSTS70005: The response_type is not supported; this is for code alone."
    if given.get("response_mode", "query") != "query":
        return "invalid_request", "AADSTS900144: Here response_mode is always query."
    if given.get("prompt", "") not in PROMPTS:
        return "invalid_request", "AADSTS90023: Unsupported prompt value."
    if not given.get("scope", "").split():
        return "invalid_request", "AADSTS900144: The request body must contain the parameter 'scope'."
    if unknown_scopes(normal_scopes(given["scope"])):
        return "invalid_scope", errors.description(70011)
    if ("code_challenge" in given) != ("code_challenge_method" in given):
        return "invalid_request", "AADSTS90014: code_challenge and code_challenge_method come together."
    if given.get("code_challenge_method", "S256") != "S256" or len(given.get("code_challenge", "x" * 43)) != 43:
        return "invalid_request", "AADSTS501491: Invalid size of Code_Challenge, or a method other than S256."
    return "", ""


def build_ms_pages(world: World) -> Blueprint:
    """The blueprint over one world."""
    blueprint, pages = Blueprint("microsoft", __name__, url_prefix="/microsoft"), _Pages(world)
    blueprint.get("/<tenant>/oauth2/v2.0/authorize")(pages.authorize)
    blueprint.get("/choose")(pages.choose)
    blueprint.post("/signin")(pages.sign_in)
    blueprint.post("/code")(pages.prove)
    blueprint.post("/consent")(pages.consent)
    return blueprint


class _Pages:
    """The pages over one world, with the requests that are on their way through them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._flows = Flows(world.clock)

    def _page(self, name: str, status: int = 200, **values: object) -> Response:
        response = make_response(
            render_template(f"microsoft/{name}.html", app_name=self.world.settings.app_name, **values), status
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refused(self, text: str) -> Response:
        """The page that Microsoft shows in place of going back to the app."""
        return self._page("error", 400, text=text)

    def _expired(self) -> Response:
        return self._refused("AADSTS90102: This sign-in has taken too long. Go back to the app and begin again.")

    # the way ---------------------------------------------------------------------------------------------------------

    def authorize(self, tenant: str) -> BaseResponse:
        """The authorization endpoint: the way in, checked as Microsoft checks it."""
        given = {name: request.args[name] for name in request.args} | {"tenant": tenant}
        if problem := page_problem(self.world, given):
            return self._refused(errors.description(problem))
        key, flow = self._flows.begin(given, normal_scopes(given.get("scope", "")))
        error, text = request_problem(given)
        if error:
            return self._back(key, flow, error, text)
        hinted = self.world.find_account("microsoft", given.get("login_hint", ""))
        asks_who = flow.asks_for("select_account") or flow.asks_for("login")
        if hinted and not asks_who and not hinted.is_disabled:
            flow.mailbox = hinted.address  # a browser that is signed in already
        if flow.asks_for("none"):
            return self._silently(key, flow, hinted)
        return self._next(key, flow)

    def _silently(self, key: str, flow: Flow, mailbox: Mailbox | None) -> BaseResponse:
        """`prompt=none`: a code when nothing need be asked, else the error that says so."""
        if mailbox and not mailbox.code and not mailbox.is_disabled and self._has_consented(flow, mailbox):
            return self._finish(key, flow, mailbox)
        text = "AADSTS50058: A silent sign-in request was sent but nobody is signed in, or a question must be asked."
        return self._back(key, flow, "interaction_required", text)

    def _next(self, key: str, flow: Flow, problem: str = "") -> BaseResponse:
        """The page that is next, or the way back to the app when all is said. A problem makes it 400."""
        status, mailbox = 400 if problem else 200, self.world.mailboxes.get(flow.mailbox)
        if mailbox is None:
            hint = request.form.get("email", "") or flow.parameters.get("login_hint", "")
            return self._page(
                "sign_in", status, flow=key, people=self.world.accounts("microsoft"), problem=problem,
                chosen=self.world.find_account("microsoft", hint),
            )  # fmt: skip
        if mailbox.code and not flow.is_proved:
            return self._page("code", status, flow=key, mailbox=mailbox, problem=problem)
        if self._has_consented(flow, mailbox) and not flow.asks_for("consent"):
            return self._finish(key, flow, mailbox)
        if mailbox.needs_approval:
            return self._page("approval", flow=key, mailbox=mailbox)
        wanted = [PERMISSIONS[scope] for scope in flow.scopes if scope in PERMISSIONS]
        if "offline_access" in flow.scopes:
            wanted.append("Maintain access to data you have given it access to")
        return self._page("consent", flow=key, mailbox=mailbox, wanted=wanted)

    def _has_consented(self, flow: Flow, mailbox: Mailbox) -> bool:
        return set(flow.scopes) <= self.world.ms_tokens.grants.get(mailbox.address, set())

    def _back(self, key: str, flow: Flow, error: str, text: str, **more: str) -> BaseResponse:
        self._flows.end(key)
        return flow.back(error=error, error_description=text, **more)

    def _finish(self, key: str, flow: Flow, mailbox: Mailbox) -> BaseResponse:
        self._flows.end(key)
        return flow.back(code=issue_code(self.world, flow, mailbox), session_state=secrets.token_hex(16))

    # answers ---------------------------------------------------------------------------------------------------------

    def choose(self) -> BaseResponse:
        """Back to the choice of an account."""
        key, flow = self._flows.current()
        if flow is None:
            return self._expired()
        flow.mailbox, flow.is_proved = "", False
        return self._next(key, flow)

    def sign_in(self) -> BaseResponse:
        """An account was chosen and its password given."""
        key, flow = self._flows.current()
        if flow is None:
            return self._expired()
        mailbox = self.world.find_account("microsoft", request.form.get("email", ""))
        if mailbox is None:
            return self._next(key, flow, "That Microsoft account doesn't exist. Enter a different account.")
        if not is_same(request.form.get("password", ""), mailbox.password):
            return self._next(key, flow, "Your account or password is incorrect.")
        if not belongs_to(mailbox, flow.parameters["tenant"]):
            return self._next(key, flow, f"{errors.description(50020)} Use a different account.")
        if mailbox.is_disabled:
            return self._next(key, flow, f"{errors.description(50057)} Ask your administrator.")
        flow.mailbox = mailbox.address
        return self._next(key, flow)

    def prove(self) -> BaseResponse:
        """The code that was demanded. A right one is spent."""
        key, flow = self._flows.current()
        mailbox = self.world.mailboxes.get(flow.mailbox) if flow else None
        if flow is None or mailbox is None:
            return self._expired()
        with self.world.lock:
            if mailbox.code and not is_same(request.form.get("otc", "").strip(), mailbox.code):
                return self._next(key, flow, "That code didn't work. Enter the code again.")
            if mailbox.code:
                demand_code(self.world, mailbox)
        flow.is_proved = True
        return self._next(key, flow)

    def consent(self) -> BaseResponse:
        """Accepted or cancelled; there are no boxes: all or nothing."""
        key, flow = self._flows.current()
        mailbox = self.world.mailboxes.get(flow.mailbox) if flow else None
        if flow is None or mailbox is None or (mailbox.code and not flow.is_proved):
            return self._expired()
        if mailbox.needs_approval:
            return self._back(key, flow, "consent_required", errors.description(90094), error_subcode="cancel")
        if request.form.get("decision") != "accept":
            return self._back(key, flow, "access_denied", errors.description(65004), error_subcode="cancel")
        return self._finish(key, flow, mailbox)


def belongs_to(mailbox: Mailbox, tenant: str) -> bool:
    """Whether the account may sign in under a tenant's name or id."""
    is_personal = mailbox.kind == "consumer"
    named = {"common": True, "consumers": is_personal, CONSUMERS: is_personal, "organizations": not is_personal}
    return named.get(tenant, tenant in (tenant_id(mailbox), mailbox.address.rpartition("@")[2]))


def issue_code(world: World, flow: Flow, mailbox: Mailbox) -> str:
    """The code of a consent. The tokens will hold what the person agreed to earlier, too."""
    given = flow.parameters
    earlier = sorted(world.ms_tokens.grants.get(mailbox.address, set()) - {"offline_access"})
    scopes = list(dict.fromkeys([*flow.scopes, *earlier]))
    limited = world.quirks.take("token_scope", mailbox.address)
    if isinstance(limited, str):
        scopes = [scope for scope in scopes if scope in normal_scopes(limited)]
    return world.ms_tokens.issue_code(Code(
        mailbox.address, scopes, given["redirect_uri"], given.get("code_challenge", ""), "S256", given.get("nonce", ""),
        "offline_access" in scopes, world.clock.now(),
    ))  # fmt: skip
