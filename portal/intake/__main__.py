"""`python -m portal.intake`: the SMTP intake, a process of its own until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from config import Settings
from portal import create_app
from portal.audit.caller import PORTAL, set_caller
from portal.intake import service
from portal.intake.smtpd import Desk, Door, IntakeServer, Limits

THREADS = 4  # that speak to the database
GRACE_SECONDS = 5.0  # for mails that are being kept when the process is told to stop


def desk_of(app: Flask, threads: ThreadPoolExecutor) -> Desk:
    """The portal behind the server, each question in a thread with an application context of its own."""
    domain = app.extensions["settings"].reply_domain

    def run(question: Callable[[], Any]) -> Awaitable[Any]:
        def asked() -> Any:
            with app.app_context():
                set_caller(PORTAL)
                return question()

        return asyncio.get_running_loop().run_in_executor(threads, asked)

    return Desk(
        find=lambda address: service.find_target(address, domain),
        keep=service.keep,
        run=run,
    )


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The certificate for STARTTLS; None when the settings name none. Raises SystemExit when it cannot be read."""
    if not settings.intake_tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.intake_tls_cert, settings.intake_tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SystemExit(f"INTAKE_TLS_CERT or INTAKE_TLS_KEY cannot be read: {type(error).__name__}") from None
    return context


async def serve(
    app: Flask, stop: asyncio.Event, threads: ThreadPoolExecutor, limits: Limits | None = None
) -> None:
    """Listen until `stop` is set, then let threads finish what they keep. Raises SystemExit when the port is taken."""
    settings, loop = app.extensions["settings"], asyncio.get_running_loop()
    door, desk, tls = Door(limits or Limits()), desk_of(app, threads), tls_of(settings)

    def visit() -> IntakeServer:
        return IntakeServer(door, desk, name=settings.intake_name, tls=tls, loop=loop)

    try:
        server = await loop.create_server(visit, settings.intake_host, settings.intake_port)
    except OSError as error:
        raise SystemExit(f"INTAKE_PORT {settings.intake_port} cannot be opened: {error.strerror}") from None
    await stop.wait()
    server.close()
    await asyncio.wait([loop.run_in_executor(None, threads.shutdown)], timeout=GRACE_SECONDS)


async def run(app: Flask) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await serve(app, stop, ThreadPoolExecutor(THREADS, thread_name_prefix="intake"))


def main() -> int:
    """Run the intake. aiosmtpd's own log names addresses and commands, so it stays silent."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    asyncio.run(run(create_app()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
