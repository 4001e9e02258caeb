"""Commands for operators: `flask demo …`, `flask sync …`, `flask conversations …`, `flask keys …`."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

GROUPS: tuple[str, ...] = ()


def init_app(app: Flask) -> None:
    """Register every group of commands."""
    for name in GROUPS:
        app.cli.add_command(import_module(name).group)
