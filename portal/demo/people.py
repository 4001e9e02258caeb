"""Who is who in the demo practice."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "demo-practice-2026"  # noqa: S105  the demo's, printed by `./dev run`; the commands refuse production
RELAY_FROM = "hello@lumen.example"  # as whom mail leaves through the demo's mail server
MAILBOX_PASSWORD = "demo-password"  # noqa: S105  of the stand-in's invented people


@dataclass(frozen=True)
class Place:
    """A practice location."""

    slug: str
    name: str
    location: str
    time_zone: str


@dataclass(frozen=True)
class Person:
    """Somebody at the practice with a login. `mailbox` "" has none; `places` are slugs, the first is where they begin."""

    name: str
    email: str
    role: str
    places: tuple[str, ...] = ("uptown",)
    mailbox: str = ""
    is_connected: bool = False
    provider: str = "google"  # whose mailbox it is


@dataclass(frozen=True)
class Patient:
    """A contact. Those with `has_mailbox` can write and be written to."""

    name: str
    email: str
    place: str = "uptown"
    phone: str = ""
    alternates: tuple[str, ...] = ()
    has_mailbox: bool = True


PLACES = (
    Place("uptown", "Lumen Aesthetics", "Uptown", "America/Chicago"),
    Place("harbor", "Lumen Aesthetics", "Harbor", "America/Chicago"),
)
CONNECTED = Person(
    "Tomas Berg", "tomas.berg@lumen.example", "provider", mailbox="tomas.berg@lumen.example", is_connected=True
)
NOT_CONNECTED = Person("Owen Castellano", "owen.castellano@lumen.example", "provider", ("uptown", "harbor"),
                       mailbox="owen.castellano@lumen.example")  # fmt: skip
WITH_OUTLOOK = Person(
    "Noa Lindgren", "noa.lindgren@lumen.example", "provider", mailbox="noa.lindgren@lumen.example", provider="microsoft"
)
COLLEAGUE_WITH_LOGIN = Person(
    "Lena Fischer", "lena.fischer@lumen.example", "front_desk", mailbox="lena.fischer@lumen.example"
)
PEOPLE = (
    NOT_CONNECTED,
    CONNECTED,
    WITH_OUTLOOK,
    Person("Maren Holt", "maren.holt@lumen.example", "owner", ("uptown", "harbor"), mailbox="maren.holt@lumen.example"),
    Person("Ines Duarte", "ines.duarte@lumen.example", "compliance", ("uptown", "harbor")),
    COLLEAGUE_WITH_LOGIN,
    Person("Kai Brandt", "kai.brandt@freelance.example", "marketing"),
    Person("Vera Nowak", "vera.nowak@vendor.example", "vendor"),
    Person("Ari Sundberg", "ari.sundberg@audit.example", "auditor", ("uptown", "harbor")),
)
COLLEAGUE_WITHOUT_LOGIN = Patient("Dana Whitlock", "dana.whitlock@lumen.example", phone="+1 312 555 0108")
PRIYA = Patient("Priya Raman", "priya.raman@mail.example", phone="+1 312 555 0142", alternates=("p.raman@work.example",))
ANIL = Patient("Anil Raman", "anil.raman@mail.example")
JONAH = Patient("Jonah Whitfield", "jonah.whitfield@gmail.com", phone="+1 312 555 0177")
PATIENTS = (
    PRIYA,
    ANIL,
    JONAH,
    Patient("Celeste Amari", "celeste.amari@mail.example", phone="+1 312 555 0119"),
    Patient("Noor Haddad", "noor.haddad@mail.example"),
    Patient("Ruth Okafor", "ruth.okafor@mail.example", alternates=("ruth@okafor.example",)),
    Patient("Mia Lindqvist", "mia.lindqvist@mail.example"),
    Patient("Daniel Park", "daniel.park@mail.example", has_mailbox=False),
    Patient("Sofia Marchetti", "sofia.marchetti@mail.example", has_mailbox=False),
    Patient("Grace Adeyemi", "grace.adeyemi@mail.example", has_mailbox=False),
    Patient("Lucas Meyer", "lucas.meyer@mail.example", has_mailbox=False),
    Patient("Priya Raman", "priya.raman@mail.example", place="harbor"),
    Patient("Hana Sato", "hana.sato@mail.example", place="harbor", has_mailbox=False),
    COLLEAGUE_WITHOUT_LOGIN,
    Patient("Lena Fischer", COLLEAGUE_WITH_LOGIN.email),
)
