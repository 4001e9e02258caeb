"""`python -m sandbox`: the stand-in as one process behind gunicorn's threaded worker."""

from __future__ import annotations

import sys

from sandbox.server import serve
from sandbox.settings import read_settings

if __name__ == "__main__":
    serve(read_settings(sys.argv[1:]))
