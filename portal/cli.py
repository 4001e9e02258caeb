"""Commands for operators: `flask accounts|users|demo|sync|conversations|keys …`."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

GROUPS = (
    "portal.admin.commands:accounts",
    "portal.admin.commands:users",
    "portal.connections.commands:group",
    "portal.conversations.commands:group",
    "portal.demo.commands:group",
    "portal.sync.commands:group",
)


def init_app(app: Flask) -> None:
    """Register every group of commands."""
    for place in GROUPS:
        module, _, name = place.partition(":")
        app.cli.add_command(getattr(import_module(module), name))
