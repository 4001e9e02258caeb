"""What proves that a mail comes from the domain in its From, on really signed mail and a DNS written down here."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product

import pytest
from dkim.canonicalization import Relaxed

from devtools.places import free_port
from portal.intake.authentication import MOST_SIGNATURES, LinearRelaxed, Proof, authenticate, is_aligned, organisation
from portal.intake.dns import DnsUnavailable, OverHttps, Resolver
from tests.intake.bcc_owner import Zone, key_record, signed

OWNER, GMAIL_PEER, ELSEWHERE = "maren@lumen-clinic.com", "209.85.220.41", "185.12.14.7"


def letter(sender: str = OWNER, text: str = "See you on Monday.", extra: str = "") -> bytes:
    """A plain mail to a patient."""
    return (
        f"From: {sender}\r\nTo: Priya <priya@mail.example>\r\nSubject: Visit\r\nMessage-ID: <one@mail>\r\n{extra}\r\n{text}\r\n"
    ).encode()


def zone(*keys_of: str, silent: tuple[str, ...] = (), **more: str) -> Zone:
    found = Zone({(f"s1._domainkey.{domain}", "TXT"): (key_record(),) for domain in keys_of})
    found.update({(name.replace("__", "-").replace("_DOT_", "."), "TXT"): (text,) for name, text in more.items()})
    found.silent = frozenset(silent)
    return found


def judge(raw: bytes, dns: Callable[[str, str], tuple[str, ...]], peer: str = ELSEWHERE, mail_from: str = "x@else.example") -> Proof:
    return authenticate(raw, OWNER, peer, "mail.example", mail_from, dns)


SPF = {"lumen__clinic_DOT_com": f"v=spf1 ip4:{GMAIL_PEER} -all"}


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
@pytest.mark.provider_fault(36)
@pytest.mark.parametrize(
    ("signer", "proof"),
    [
        ("lumen-clinic.com", Proof.PROVEN),
        ("mail.lumen-clinic.com", Proof.PROVEN),
        ("lumen-clinic-com.20230601.gappssmtp.com", Proof.UNPROVEN),
        ("lumenclinic.onmicrosoft.com", Proof.UNPROVEN),
        ("evil-lumen-clinic.com", Proof.UNPROVEN),
        ("com", Proof.UNPROVEN),
    ],
)
def test_a_signature_counts_when_it_is_of_the_same_organisation(signer: str, proof: Proof) -> None:
    assert judge(signed(letter(), signer), zone(signer)) is proof


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
def test_a_signature_must_be_sound() -> None:
    raw, dns = signed(letter(), "lumen-clinic.com"), zone("lumen-clinic.com")
    assert judge(letter(), dns) is Proof.UNPROVEN  # none
    assert judge(raw.replace(b"Monday", b"Friday"), dns) is Proof.UNPROVEN
    assert judge(raw.replace(b"Subject: Visit", b"Subject: Money"), dns) is Proof.UNPROVEN
    assert judge(raw, zone()) is Proof.UNPROVEN  # no such key
    assert judge(b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0000\r\n" + raw, dns) is Proof.PROVEN
    said = b"Authentication-Results: intake.demo.example; dkim=pass header.d=lumen-clinic.com; dmarc=pass\r\n"
    assert judge(said + letter(), dns) is Proof.UNPROVEN  # whoever says so


@pytest.mark.requirement("SMT-2")
def test_a_signature_that_leaves_the_end_open_proves_nothing() -> None:
    raw = signed(letter(), "lumen-clinic.com", length=True)
    assert judge(raw + b"and something else\r\n", zone("lumen-clinic.com")) is Proof.UNPROVEN


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
@pytest.mark.parametrize(
    ("peer", "mail_from", "proof"),
    [
        (GMAIL_PEER, "maren@lumen-clinic.com", Proof.PROVEN),
        (ELSEWHERE, "maren@lumen-clinic.com", Proof.UNPROVEN),
        (GMAIL_PEER, "maren@else.com", Proof.UNPROVEN),  # passes for a domain that is not the author's
        (GMAIL_PEER, "", Proof.UNPROVEN),
        ("127.0.0.1", "maren@lumen-clinic.com", Proof.UNPROVEN),
        ("10.1.2.3", "maren@lumen-clinic.com", Proof.UNPROVEN),
        ("::ffff:127.0.0.1", "maren@lumen-clinic.com", Proof.UNPROVEN),
        ("", "maren@lumen-clinic.com", Proof.UNPROVEN),
    ],
)
def test_the_envelope_counts_when_it_is_aligned(peer: str, mail_from: str, proof: Proof) -> None:
    dns = zone(else_DOT_com="v=spf1 +all", **SPF)
    dns["lumen-clinic.com", "TXT"] = (f"v=spf1 ip4:{GMAIL_PEER} ip4:127.0.0.0/8 ip4:10.0.0.0/8 -all",)
    assert judge(letter(), dns, peer, mail_from) is proof


@pytest.mark.requirement("SMT-2")
def test_names_are_followed_within_limits() -> None:
    """Includes, mail servers and addresses; a record that asks for more than RFC 7208 allows proves nothing."""
    dns = Zone(
        {
            ("lumen-clinic.com", "TXT"): ("google-site-verification=x", "v=spf1 include:_spf.host.com mx -all"),
            ("_spf.host.com", "TXT"): ("v=spf1 a:out.host.com ~all",),
            ("out.host.com", "A"): (GMAIL_PEER,),
            ("lumen-clinic.com", "MX"): ("10 mx.host.com",),
            ("mx.host.com", "A"): (ELSEWHERE,),
        }
    )
    assert judge(letter(), dns, GMAIL_PEER, OWNER) is Proof.PROVEN
    assert judge(letter(), dns, ELSEWHERE, OWNER) is Proof.PROVEN
    assert judge(letter(), dns, "185.12.14.8", OWNER) is Proof.UNPROVEN
    dns["lumen-clinic.com", "TXT"] = ("v=spf1 " + " ".join(f"include:i{n}.com" for n in range(20)) + " +all",)
    assert judge(letter(), dns, GMAIL_PEER, OWNER) is Proof.UNPROVEN


@pytest.mark.requirement("SMT-2")
def test_a_domain_may_ask_for_strict_alignment() -> None:
    raw, strict = signed(letter(), "mail.lumen-clinic.com"), {"_dmarc_DOT_lumen__clinic_DOT_com": "v=DMARC1; p=reject; adkim=s"}
    assert judge(raw, zone("mail.lumen-clinic.com", **strict)) is Proof.UNPROVEN
    assert judge(signed(letter(), "lumen-clinic.com"), zone("lumen-clinic.com", **strict)) is Proof.PROVEN


@pytest.mark.rule("B-05")
def test_silent_name_servers_prove_nothing_yet() -> None:
    raw = signed(letter(), "lumen-clinic.com")
    assert judge(raw, zone("lumen-clinic.com", silent=("s1._domainkey.lumen-clinic.com",))) is Proof.UNKNOWN
    dns = zone("lumen-clinic.com", silent=("lumen-clinic.com",))
    assert judge(letter(), dns, GMAIL_PEER, OWNER) is Proof.UNKNOWN
    assert judge(raw, dns, GMAIL_PEER, OWNER) is Proof.PROVEN  # one proof is enough


@pytest.mark.requirement("SMT-5")
def test_many_signatures_cost_little() -> None:
    raw = letter(text="x" * 2_000_000)
    of_another = signed(letter(), "lumen-clinic.com").partition(b"From:")[0]
    dns, started = zone("lumen-clinic.com"), time.monotonic()
    assert judge(of_another * 200 + raw, dns) is Proof.UNPROVEN
    assert len([name for name in dns.asked if name.startswith("s1._domainkey")]) == MOST_SIGNATURES
    assert time.monotonic() - started < 10


@pytest.mark.requirement("SMT-5")
@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\r\n\r\n", b" folded first\r\nFrom: a@b.example\r\n\r\n", b"no field\r\n\r\nx",
        letter(extra="DKIM-Signature: v=1; d=lumen-clinic.com; h=from; s=s1; bh=x; b=y; a=rsa-sha256\r\n"),
        letter(extra="DKIM-Signature: ;;;=\r\n"), letter(extra="DKIM-Signature: d=\xff\xfe; h=from\r\n"),
        letter(extra="DKIM-Signature: v=1; a=rsa-sha256; d=lumen-clinic.com; i=x; s=s1; h=from; bh=AAAA; b=AAAA\r\n"),
    ],
)  # fmt: skip
def test_nonsense_proves_nothing(raw: bytes) -> None:
    assert judge(raw, zone("lumen-clinic.com")) is Proof.UNPROVEN


@pytest.mark.parametrize(
    ("domain", "own"),
    [
        ("mail.lumen-clinic.com", "lumen-clinic.com"), ("a.b.co.uk", "b.co.uk"), ("co.uk", ""), ("com", ""),
        ("lumen.example", "lumen.example"), ("a.lumen.example", "lumen.example"), ("a.b.kawasaki.jp", "a.b.kawasaki.jp"),
    ],
)  # fmt: skip
def test_organisations(domain: str, own: str) -> None:
    assert organisation(domain) == own


def test_two_of_one_suffix_are_two() -> None:
    assert not is_aligned("one.example", "two.example")
    assert not is_aligned("co.uk", "a.co.uk")
    assert is_aligned("co.uk", "co.uk")
    assert not is_aligned("", "")


def test_questions_end_in_time() -> None:
    with pytest.raises(DnsUnavailable):
        Resolver(total=0)("lumen.example", "TXT")
    with pytest.raises(DnsUnavailable):
        OverHttps(f"http://127.0.0.1:{free_port()}/dns")("lumen.example", "TXT")


@pytest.mark.requirement("SMT-2")
@pytest.mark.parametrize(
    "more",
    [
        "From: x@else.example", "From : maren@lumen-clinic.com", "To: another@mail.example", "Cc: a@mail.example\r\nCC: b@mail.example",
        "Subject: Money", "Message-ID: <two@mail>", "Content-Type: text/html\r\nContent-Type: text/plain",
    ],
)  # fmt: skip
def test_what_was_put_before_a_signed_mail_is_not_taken_for_signed(more: str) -> None:
    """A signature covers the last field of a name, the reader takes the first: fields that may stand once must."""
    names, dns = [b"from", b"to", b"subject", b"message-id"], zone("lumen-clinic.com")
    hidden = more.startswith("From :")  # the reader sees it, the checker does not
    raw = signed(letter().partition(b"\r\n")[2] if hidden else letter(), "lumen-clinic.com", include_headers=names)
    assert judge(raw, dns) is (Proof.UNPROVEN if hidden else Proof.PROVEN)
    assert judge(more.encode() + b"\r\n" + raw, dns) is Proof.UNPROVEN


@pytest.mark.requirement("SMT-2")
def test_weak_algorithms_prove_nothing() -> None:
    """RFC 8301: SHA-1 and keys below 1024 bits."""
    dns = zone("lumen-clinic.com")
    assert judge(signed(letter(), "lumen-clinic.com", signature_algorithm=b"rsa-sha256"), dns) is Proof.PROVEN
    assert judge(signed(letter(), "lumen-clinic.com", signature_algorithm=b"rsa-sha1"), dns) is Proof.UNPROVEN


@pytest.mark.requirement("SMT-5")
@pytest.mark.parametrize(
    "raw",
    [
        signed(letter(), "lumen-clinic.com").partition(b"From:")[0] + letter(text=" " * 2_000_000 + "x"),
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=lumen-clinic.com; s=s1; h=from; bh=AAAA; b=A"
        + b" " * 300_000 + b"!\r\n" + letter(),
    ],
    ids=["blanks in the body", "blanks in the signature"],
)  # fmt: skip
def test_blanks_cost_little(raw: bytes) -> None:
    started = time.monotonic()
    assert judge(raw, zone("lumen-clinic.com")) is Proof.UNPROVEN
    assert time.monotonic() - started < 3


@pytest.mark.requirement("SMT-2")
@pytest.mark.parametrize("form", [(b"relaxed", b"relaxed"), (b"relaxed", b"simple"), (b"simple", b"simple"), (b"simple", b"relaxed")])
def test_blanks_count_as_the_signature_says(form: tuple[bytes, bytes]) -> None:
    raw, dns = letter(text="See  you\t on   Monday. \t\r\n\r\n\nMaren  \r\n\r\n"), zone("lumen-clinic.com")
    found = signed(raw, "lumen-clinic.com", canonicalize=form)
    assert judge(found, dns) is Proof.PROVEN
    is_relaxed = form[1] == b"relaxed"
    assert judge(found.replace(b"See  you", b"See you"), dns) is (Proof.PROVEN if is_relaxed else Proof.UNPROVEN)
    assert judge(found.replace(b"\nMaren", b"\nMona"), dns) is Proof.UNPROVEN


@pytest.mark.requirement("SMT-2")
def test_the_linear_form_is_the_librarys() -> None:
    """All short bodies of blanks, line ends and letters."""
    pieces = (b" ", b"\t", b"\r\n", b"\r", b"\n", b"a")
    for length in range(6):
        for body in map(b"".join, product(pieces, repeat=length)):
            assert LinearRelaxed.canonicalize_body(body) == Relaxed.canonicalize_body(body), body
