"""Import contacts from a CSV file: upload, columns and preview, progress, result. It may be left and come back to."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, g, redirect, render_template, send_file, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.contacts import imports
from portal.contacts.columns import TARGETS
from portal.contacts.import_forms import ColumnsForm, RunForm, UploadForm
from portal.contacts.queries import imports_of
from portal.extensions import limiter
from portal.models import ContactImport

blueprint = Blueprint("imports", __name__)
UPLOADS = "60 per hour"


def _person() -> str:
    return f"person:{g.user_session.user_id}"


@blueprint.get("/contacts/import")
@requires(Permission.WRITE_CONTACTS)
def start_import() -> ResponseReturnValue:
    """Choose a file; the person's last imports stand below."""
    return _start_page(UploadForm())


@blueprint.post("/contacts/import")
@limiter.limit(UPLOADS, key_func=_person)
@requires(Permission.WRITE_CONTACTS)
def upload_import() -> ResponseReturnValue:
    """Take the file and show what would be imported. A file that cannot be read is refused at its field."""
    form = UploadForm()
    if not form.validate():
        return _start_page(form), 400
    try:
        found = imports.upload(g.membership.account, g.user_session.user_id, form.data, form.name)
    except imports.ImportRefused as refused:
        form.file.errors = [refused.message]
        return _start_page(form), refused.status
    return redirect(url_for("imports.show_import", import_id=found.id))


def _start_page(form: UploadForm) -> str:
    earlier = imports_of(g.user_session.user_id, g.membership.account_id)
    return render_template("contacts/import_start.html", form=form, earlier=earlier)


@blueprint.get("/contacts/import/<uuid:import_id>")
@requires(Permission.WRITE_CONTACTS)
def show_import(import_id: UUID) -> ResponseReturnValue:
    """The preview, the progress or the result, by the state of the import."""
    found = find(ContactImport, import_id, own=True)
    if found.state != "preview":
        return render_template("contacts/import_result.html", found=found)
    return render_template(
        "contacts/import_preview.html", found=found, preview=imports.preview(found, g.membership.account),
        targets=TARGETS, form=RunForm(leave_out_colleagues=True), likeness_words=imports.likeness_words,
    )  # fmt: skip


@blueprint.post("/contacts/import/<uuid:import_id>/columns")
@requires(Permission.WRITE_CONTACTS)
def change_columns(import_id: UUID) -> ResponseReturnValue:
    """Set what the columns hold and judge all rows anew."""
    form = ColumnsForm()
    imports.change_columns(import_id, g.membership.account, form.column.data or [], bool(form.heading.data))
    return redirect(url_for("imports.show_import", import_id=import_id))


@blueprint.post("/contacts/import/<uuid:import_id>/run")
@requires(Permission.WRITE_CONTACTS)
def run_import(import_id: UUID) -> ResponseReturnValue:
    """Start it. The job does the rest."""
    imports.start(import_id, leave_out_colleagues=bool(RunForm().leave_out_colleagues.data))
    return redirect(url_for("imports.show_import", import_id=import_id))


@blueprint.post("/contacts/import/<uuid:import_id>/drop")
@requires(Permission.WRITE_CONTACTS)
def drop_import(import_id: UUID) -> ResponseReturnValue:
    """Forget an import that was not started."""
    imports.drop(import_id)
    return redirect(url_for("imports.start_import"))


@blueprint.get("/contacts/import/<uuid:import_id>/errors.csv")
@requires(Permission.WRITE_CONTACTS)
def download_errors(import_id: UUID) -> ResponseReturnValue:
    """The rows that are wrong, each with its reason, as a file."""
    found = find(ContactImport, import_id, own=True)
    return send_file(
        BytesIO(imports.errors_file(found)), mimetype="text/csv", as_attachment=True, download_name="import-errors.csv"
    )
