"""Situations of Microsoft's sign-in and tokens, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.accounts import demand_code
from sandbox.mailbox import Mailbox
from sandbox.microsoft.errors import token_body, token_status
from sandbox.situation import Preset, same_rules

if TYPE_CHECKING:
    from sandbox.state import World

TOKEN = "/microsoft/*/token"  # noqa: S105  a path


def _ended(code: int, *, forget_consent: bool = False) -> Callable[[World, Mailbox], None]:
    """All tokens end for the reason of an error code; a new sign-in puts it right."""

    def apply(world: World, mailbox: Mailbox) -> None:
        world.ms_tokens.cut(mailbox.address, code, forget_consent)

    return apply


def _refusing(code: int) -> Callable[[World], list[dict[str, Any]]]:
    """Each token request fails with an error code."""
    return lambda _world: [{"method": "POST", "path": TOKEN, "status": token_status(code), "body": token_body(code)}]


def _marked(name: str, is_on: bool) -> Callable[[World, Mailbox], None]:
    def apply(world: World, mailbox: Mailbox) -> None:
        with world.lock:
            setattr(mailbox, name, is_on)
            world.store.save_mailbox(mailbox)

    return apply


def _coded(is_on: bool) -> Callable[[World, Mailbox], None]:
    return lambda world, mailbox: demand_code(world, mailbox, is_on=is_on)


def _person(name: str, title: str, text: str, apply: Callable[[World, Mailbox], None]) -> Preset:
    return Preset(name, title, text, apply, needs_mailbox=True, provider="microsoft")


def _login(name: str, title: str, text: str, rules: Callable[[World], list[dict[str, Any]]]) -> Preset:
    return Preset(name, title, text, rules=rules, provider="microsoft")


LOGIN_PRESETS = [
    _person("ms_revoke", "Microsoft: sessions revoked", "All tokens end, AADSTS50173.", _ended(50173)),
    _person("ms_expired", "Microsoft: unused for too long", "All tokens end, AADSTS700082.", _ended(700082)),
    _person("ms_mfa", "Microsoft: more proof wanted", "All tokens end, AADSTS50076 interaction_required: sign in again.",
            _ended(50076)),
    _person("ms_conditional_access", "Microsoft: blocked by Conditional Access", "All tokens end, AADSTS53003.",
            _ended(53003)),
    _person("ms_consent_gone", "Microsoft: consent taken away", "All tokens end, AADSTS65001 consent_required.",
            _ended(65001, forget_consent=True)),
    _person("ms_disabled", "Microsoft: account disabled", "No refresh and no sign-in, AADSTS50057.",
            _marked("is_disabled", True)),
    _person("ms_disabled_off", "Microsoft: account enabled again", "Its tokens work again.", _marked("is_disabled", False)),
    _person("ms_approval", "Microsoft: only an administrator may agree", "The consent page says so, AADSTS90094.",
            _marked("needs_approval", True)),
    _person("ms_approval_off", "Microsoft: people may agree themselves", "The consent page as usual.",
            _marked("needs_approval", False)),
    _person("ms_code", "Microsoft: sign-in asks for a code", "The mailbox's page here shows it.", _coded(True)),
    _person("ms_code_off", "Microsoft: sign-in without a code", "The password is enough.", _coded(False)),
    _login("ms_bad_secret", "Microsoft: the app's own secret is wrong",
           "Every token request answers AADSTS7000215: the operator's fault.", _refusing(7000215)),
    _login("ms_secret_expired", "Microsoft: the app's secret has expired",
           "Every token request answers AADSTS7000222: the operator's fault.", _refusing(7000222)),
    _login("ms_app_unknown", "Microsoft: the app is unknown",
           "Every token request answers AADSTS700016: the operator's fault.", _refusing(700016)),
    _login("ms_unavailable", "Microsoft: temporarily unavailable", "Every token request answers AADSTS90033.",
           _refusing(90033)),
    _login("ms_login_errors", "Microsoft: sign-in is down (500)", "Every token request fails without a JSON body.",
           same_rules({"method": "POST", "path": TOKEN, "status": 500, "body": "<html><body>Error</body></html>"})),
    _login("ms_login_html", "Microsoft: a page in place of tokens", "Token requests answer 200 with HTML.",
           same_rules({"method": "POST", "path": TOKEN, "body": "<html><body>Please sign in to the network</body></html>"})),
]  # fmt: skip
