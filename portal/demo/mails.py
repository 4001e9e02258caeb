"""The mails of the demo: what patients, colleagues and shops write to the connected mailbox."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid

from portal.demo.people import ANIL, COLLEAGUE_WITH_LOGIN, COLLEAGUE_WITHOUT_LOGIN, CONNECTED, JONAH, PRIYA, Patient, Person
from portal.lib.clock import now

# A one-pixel PNG, so that the demo has a file that opens.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0"
    "00000301010018dd8db00000000049454e44ae426082"
)


def write(
    author: Person | Patient, to: list[str], subject: str, text: str, *, cc: tuple[str, ...] = (), answers: str = "",
    html: str = "", picture: str = "", headers: tuple[tuple[str, str], ...] = (),
) -> bytes:  # fmt: skip
    """A mail as its author's program would send it. `answers` is the wire id it replies to."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = formataddr((author.name, author.email))
    mail["To"] = ", ".join(to)
    if cc:
        mail["Cc"] = ", ".join(cc)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = make_msgid(domain=author.email.partition("@")[2])
    if answers:
        mail["In-Reply-To"] = mail["References"] = answers
    for name, value in headers:
        mail[name] = value
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    if picture:
        mail.add_attachment(PIXEL, maintype="image", subtype="png", filename=picture)
    return mail.as_bytes()


def before_connection() -> list[bytes]:
    """Older than the connection: it must never come in."""
    me = CONNECTED.email
    return [
        write(PRIYA, [me], "Consultation last month", "Thank you for the consultation. I will think about it."),
        write(COLLEAGUE_WITHOUT_LOGIN, [me], "Rota for October", "Here is the old rota."),
    ]


def after_connection() -> list[bytes]:
    """What arrives while the mailbox is connected: each is decided by a different rule."""
    me = CONNECTED.email
    return [
        write(PRIYA, [me], "Swelling after lip filler, day 2",
              "Good morning, the left side is still a bit firm and it feels warm in the evening.\n"
              "Is that normal on day 2? I have attached a photo.\n\nPriya",
              cc=(ANIL.email, "n.ortiz@other.example"), picture="front.png"),
        write(JONAH, [me], "Rescheduling Friday",
              "Hi Tomas,\n\ncould we move my appointment from Friday to next Tuesday? Mornings are best.\n\nJonah",
              html="<p>Hi Tomas,</p><p>could we move my appointment from <b>Friday</b> to next Tuesday? Mornings are "
                   "best.</p><p>Jonah</p>"),
        write(COLLEAGUE_WITH_LOGIN, [me], "Room 2 tomorrow", "Can you take room 2 tomorrow? The laser is being serviced."),
        write(COLLEAGUE_WITHOUT_LOGIN, [me], "Payroll November", "The payroll sheet for November, please check your hours.",
              cc=(PRIYA.email,)),
        write(Person("Derma Supply", "news@dermasupply.example", "vendor"), [me], "20 % off cannulas",
              "This week only.", headers=(("List-Unsubscribe", "<mailto:off@dermasupply.example>"), ("Precedence", "bulk"))),
        write(Person("Parcel Desk", "status@parcel.example", "vendor"), [me], "Your parcel", "It arrives tomorrow."),
        write(Patient("Priya Raman", "p.raman@work.example"), [me], "From my work address", "Wrong address, sorry."),
    ]  # fmt: skip
