"""The name servers of this world, in the JSON of DNS over HTTPS (as https://dns.google/resolve answers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from sandbox.signatures import records

if TYPE_CHECKING:
    from sandbox.app import Application


def add_dns_routes(control: Blueprint, application: Application) -> None:
    """`/__ctl/dns?name=…&type=TXT`."""

    @control.get("/dns")
    def resolve_name() -> dict[str, Any]:
        name, kind = request.args.get("name", ""), request.args.get("type", "A").upper()
        return {"Status": 0, "Answer": [{"name": name, "data": text} for text in records(application.world, name, kind)]}
