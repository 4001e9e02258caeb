"""`flask keys rotate`: after a new key was put first in SEALING_KEYS and every process was restarted with both."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from portal.connections import rotation

group = AppGroup("keys", help="Keys that seal what is encrypted at rest.")


@group.command("rotate")
def rotate_keys() -> None:
    """Seal everything anew with the first key of SEALING_KEYS, while the portal runs. May be repeated."""
    found = rotation.rotate(click.echo)
    for name in found.unopened:
        click.echo(f"could not be opened: {name}", err=True)
    if found.unopened:
        raise SystemExit(f"{found.sealed} sealed anew, {len(found.unopened)} left. Keep the old key and look into these.")
    click.echo(f"{found.sealed} values sealed anew. The other keys are no longer needed.")
