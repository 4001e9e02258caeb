"""The WSGI entry: `gunicorn wsgi:app`, and FLASK_APP for the command line."""

from portal import create_app

app = create_app()
