"""Runs the application: gunicorn with one threaded worker, since all state lives in that one process."""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from sandbox.app import Application
from sandbox.persistence import Store
from sandbox.settings import Settings
from sandbox.smtp import start_sink
from sandbox.state import World


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn without its command line."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world: World | None = None
        super().__init__()

    def load_config(self) -> None:
        """One worker that is never replaced, many threads, long keep-alive."""
        options: dict[str, Any] = {
            "bind": f"{self.settings.host}:{self.settings.port}", "workers": 1, "worker_class": "gthread",
            "threads": self.settings.threads, "keepalive": 75, "worker_connections": 2000, "timeout": 0,
            "graceful_timeout": 1, "loglevel": "warning", "control_socket_disable": True,
            "limit_request_line": 8190, "worker_exit": lambda _server, _worker: self.close(),
        }  # fmt: skip
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        """The application, made inside the worker process: its threads would not survive a fork."""
        store = Store(self.settings.data_dir)
        self.world = World(self.settings, store)
        application = Application(self.world)
        if self.settings.smtp_port:
            start_sink(self.settings, application.post)
        print(f"Stand-in ready at {self.settings.base_url}", flush=True)
        return application

    def close(self) -> None:
        """Write the rest of the state before the worker ends."""
        if self.world is not None:
            self.world.store.close()


def serve(settings: Settings) -> None:
    """Serve until a signal ends the process."""
    Server(settings).run()
