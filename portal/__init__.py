"""The portal's application factory: settings → extensions → security → blueprints → errors → commands."""

from __future__ import annotations

from importlib import import_module

from flask import Flask
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import Settings
from portal import cli, error_pages, models, queues, security, templating
from portal.database import db
from portal.extensions import csrf, limiter, login_manager, migrate
from portal.lib import clock
from portal.lib.crypto import Envelope

BLUEPRINTS = (
    "portal.status",
    "portal.auth.views",
    "portal.profile.views",
    "portal.connections.views",
    "portal.notices.views",
    "portal.contacts.views",
    "portal.contacts.import_views",
    "portal.admin.views",
    "portal.admin.relay_views",
    "portal.conversations.views",
    "portal.sending.views",
    "portal.sending.draft_views",
    "portal.sending.outbox_views",
    "portal.sync.views",
    "portal.campaigns.views",
    "portal.campaigns.writing_views",
    "portal.campaigns.running_views",
    "portal.campaigns.unsubscribe_views",
    "portal.automations.views",
    "portal.intake.views",
    "portal.bcc.views",
    "portal.bcc.address_views",
    "portal.webhooks.google",
    "portal.webhooks.microsoft",
)

__all__ = ["create_app", "models"]


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application. Raises SystemExit naming every setting that forbids a start, never its value."""
    settings = settings or Settings.from_environment()
    if problems := settings.problems():
        raise SystemExit("The portal does not start:\n" + "\n".join(f"- {problem}" for problem in problems))
    app = security.PortalApp(__name__)
    configure(app, settings)
    register_extensions(app, settings)
    security.init_app(app)
    templating.init_app(app)
    for name in BLUEPRINTS:
        app.register_blueprint(import_module(name).blueprint)
    error_pages.init_app(app)
    cli.init_app(app)
    return app


def configure(app: Flask, settings: Settings) -> None:
    """Put the settings where Flask and its extensions look for them."""
    app.extensions["settings"] = settings
    clock.set_offset(settings.clock_offset_seconds, allowed=not settings.is_production)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        TESTING=settings.app_env == "test",
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True},  # an error in a log carries no values
        SESSION_COOKIE_NAME="__Host-portal" if settings.base_url.startswith("https://") else "portal",
        SESSION_COOKIE_SECURE=settings.base_url.startswith("https://"),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=36 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=2 * 1024 * 1024,
        MAX_FORM_PARTS=500,
        WTF_CSRF_TIME_LIMIT=None,
        RATELIMIT_STORAGE_URI=settings.redis_url,
        RATELIMIT_STORAGE_OPTIONS={"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 0)},
        RATELIMIT_HEADERS_ENABLED=True,
    )


def register_extensions(app: Flask, settings: Settings) -> None:
    """Bind database, Redis, envelope, forms, sign-in and limits to the application."""
    app.extensions["envelope"] = Envelope(settings.sealing_keys)
    app.extensions["redis"] = queues.connect(settings.redis_url)
    db.init_app(app)
    migrate.init_app(app, db, render_as_batch=True, compare_type=True)
    csrf.init_app(app)
    login_manager.init_app(app, add_context_processor=False)
    limiter.init_app(app)
