"""Settings > Account: the practice's rules."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.permissions import Permission
from portal.admin import service
from portal.admin.forms import PolicyForm

blueprint = Blueprint("admin", __name__)


@blueprint.get("/settings/account")
@requires(Permission.READ_POLICY)
def show_policy() -> ResponseReturnValue:
    """The rules of the location, for changing where the role includes that."""
    policy = asdict(service.policy_of(g.membership.account))
    policy["connect_roles"] = policy["connect_roles"].split(",")
    return render_template("admin/policy.html", form=PolicyForm(formdata=None, data=policy))


@blueprint.post("/settings/account")
@requires(Permission.WRITE_POLICY)
def change_policy() -> ResponseReturnValue:
    """Save the rules."""
    form = PolicyForm()
    if not form.validate():
        return render_template("admin/policy.html", form=form), 400
    changed = service.change_policy(g.membership.account, form.policy)
    flash("The rules were saved." if changed else "Nothing was different; nothing was changed.", "ok")
    return redirect(url_for("admin.show_policy"))
