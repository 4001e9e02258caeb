"""A notice was read: it is not shown again."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.models import Notice
from portal.notices.service import mark_read

blueprint = Blueprint("notices", __name__)


@blueprint.post("/notices/<uuid:notice_id>/read")
@requires(Permission.OWN_PROFILE)
def read_notice(notice_id: UUID) -> ResponseReturnValue:
    """Put it away, for oneself; what it told of stays visible on its page."""
    mark_read(find(Notice, notice_id, own=True))
    return redirect("/", 303)
