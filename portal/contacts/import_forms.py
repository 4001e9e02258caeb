"""The forms of an import: the file, and what its columns hold."""

from __future__ import annotations

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import BooleanField, SelectMultipleField
from wtforms.validators import ValidationError

from portal.contacts.imports import MAX_BYTES


class UploadForm(FlaskForm):
    """One CSV file. `data` holds its bytes after validation, one more than allowed when it is too large."""

    file = FileField("CSV file")
    data = b""

    def validate_file(self, field: FileField) -> None:
        if not field.data or not field.data.filename:
            raise ValidationError("Choose a CSV file.")
        self.data = field.data.stream.read(MAX_BYTES + 1)
        if not self.data:
            raise ValidationError("This file is empty. Choose another.")

    @property
    def name(self) -> str:
        return str(self.file.data.filename)


class ColumnsForm(FlaskForm):
    """What each column holds, in their order, and whether the first row names them."""

    column = SelectMultipleField("Columns", validate_choice=False)
    heading = BooleanField("The first row names the columns")


class RunForm(FlaskForm):
    """Run the import, with or without the rows that look like colleagues."""

    leave_out_colleagues = BooleanField("Leave out the rows that look like colleagues")
