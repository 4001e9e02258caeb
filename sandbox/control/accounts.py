"""The accounts behind the mailboxes, under `/__ctl/users`: how tokens come and end, and the code of a sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from sandbox.accounts import change_password, demand_code, revoke, subject_of
from sandbox.control.mail import existing_mailbox
from sandbox.google import oauth as google
from sandbox.google.pages import PERMISSIONS
from sandbox.inputs import BadInput, check_fields, json_object, text_list
from sandbox.mailbox import Mailbox
from sandbox.microsoft import tokens as microsoft
from sandbox.tokens import ACCESS_SECONDS, NEVER

if TYPE_CHECKING:
    from sandbox.app import Application

GOOGLE_SCOPES = "openid email https://www.googleapis.com/auth/gmail.readonly https://www.googleapis.com/auth/gmail.send"
MICROSOFT_SCOPES = "openid email profile offline_access User.Read Mail.ReadWrite Mail.Send"


def _granted(mailbox: Mailbox, values: dict[str, Any]) -> list[str]:
    """The scopes to grant; by default those that the portal asks for. Raises BadInput."""
    scopes = values.get("scopes")
    text = " ".join(text_list(scopes, "scopes")) if isinstance(scopes, list) else scopes or ""
    if mailbox.provider == "microsoft":
        found = microsoft.normal_scopes(text or MICROSOFT_SCOPES)
        unknown = microsoft.unknown_scopes(found)
    else:
        found = google.normal_scopes(text or GOOGLE_SCOPES)
        unknown = [scope for scope in found if scope not in PERMISSIONS and scope not in google.SIGN_IN]
    if unknown:
        raise BadInput(f"unknown scopes: {' '.join(unknown)}")
    return found


def add_account_routes(control: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_tokens(control, application)
    _add_code(control, application)


def _add_tokens(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.post("/users/<address>/revoke")
    def revoke_grant(address: str) -> dict[str, Any]:
        return {"tokens_ended": revoke(world, existing_mailbox(world, address))}

    @control.post("/users/<address>/change-password")
    def set_password(address: str) -> dict[str, Any]:
        given = check_fields(json_object(request.get_data()), {"password": str, "by_admin": bool})
        mailbox = existing_mailbox(world, address)
        ended = change_password(world, mailbox, given.get("password", ""), by_admin=given.get("by_admin", False))
        return {"tokens_ended": ended}

    @control.post("/users/<address>/expire-access")
    def expire_access(address: str) -> dict[str, Any]:
        mailbox = existing_mailbox(world, address)
        return {"tokens_ended": world.tokens_of(mailbox).expire_access(mailbox.address)}

    @control.post("/users/<address>/grant")
    def grant_tokens(address: str) -> tuple[dict[str, Any], int]:
        mailbox = existing_mailbox(world, address)
        given = check_fields(json_object(request.get_data()), {"scopes": (str, list), "lifetime_seconds": int})
        scopes = _granted(mailbox, given)
        lifetime = float(given.get("lifetime_seconds", NEVER))
        refresh, access = world.tokens_of(mailbox).grant(mailbox.address, scopes, lifetime, ACCESS_SECONDS)
        return {
            "refresh_token": refresh, "access_token": access, "expires_in": ACCESS_SECONDS,
            "scope": " ".join(scopes), "sub": subject_of(mailbox), "email": mailbox.address,
        }, 201  # fmt: skip


def _add_code(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/users/<address>/code")
    @control.post("/users/<address>/code")
    def show_or_demand_code(address: str) -> dict[str, Any]:
        mailbox = existing_mailbox(world, address)
        if request.method == "POST":
            if mailbox.provider != "microsoft":
                raise BadInput(f"{mailbox.address} is not a Microsoft account")
            is_on = check_fields(json_object(request.get_data()), {"on": bool}).get("on", True)
            demand_code(world, mailbox, is_on=is_on)
        return {"required": bool(mailbox.code), "code": mailbox.code}
