"""Whom the client of a mail server talks to, how it makes sure of them, and what never gets into a command."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from portal.providers.errors import Refused, Temporary
from portal.providers.smtp import hosts, relay, wire
from portal.providers.smtp.relay import RelayServer
from tests.providers.smtp_server import PRIYA, Begin, at, certificate, send


@pytest.mark.requirement("NET-3")
@pytest.mark.bad_input(37)
@pytest.mark.parametrize(
    "address",
    ["a@mail.example\r\nRCPT TO:<evil@mail.example>", "a@mail.example\n", "a\n@mail.example", "a@mail\n.example",
     "a> SIZE=1 <b@mail.example", "a@mail.example, b@mail.example", "none", "jürgen@mail.example"],
)  # fmt: skip
def test_nothing_but_an_address_gets_into_a_command(begin: Begin, address: str) -> None:
    server = begin()
    for values in ({"to": (PRIYA, address)}, {"sender": address}):
        with pytest.raises(Refused) as caught:
            send(at(server.port), **values)
        assert caught.value.args[0] in ("501 5.1.3", "553 5.6.7")
    assert not any(line.startswith(("MAIL", "RCPT", "DATA")) for line in server.lines)
    send(at(server.port), to=("priya@münchen.example",), sender="")
    assert {"MAIL FROM:<>", "RCPT TO:<priya@xn--mnchen-3ya.example>"} <= {line.split(" SIZE")[0] for line in server.lines}


@pytest.mark.requirement("NET-1")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "localhost", "::1", "::ffff:127.0.0.1"])
def test_a_private_host_is_not_even_knocked_at(begin: Begin, host: str) -> None:
    server = begin()
    with pytest.raises(relay.HostRefused):
        send(at(server.port, host=host, security="starttls", may_be_private=False))
    assert server.connections == 0


@pytest.mark.requirement("NET-1")
@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("10.1.2.3", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:169.254.169.254", False), ("64:ff9b::a9fe:a9fe", False), ("2002:7f00:1::", False),
        ("64:ff9b:1::a9fe:a9fe", False), ("::127.0.0.1", False), ("::ffff:0:10.0.0.1", False), ("fec0::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert hosts.is_public(address) is public


@pytest.mark.requirement("NET-1")
def test_a_name_that_leads_elsewhere_the_second_time_is_asked_once(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = begin(), []
    real = hosts.socket.getaddrinfo

    def turning(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "mail.lumen.example":  # an address, which leads to itself
            return real(host, *rest, **more)
        asked.append(host)
        return real("127.0.0.1" if len(asked) > 1 else "192.0.2.1", *rest, **more)

    monkeypatch.setattr(hosts.socket, "getaddrinfo", turning)
    monkeypatch.setattr(wire, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(hosts, "is_public", lambda address: not address.startswith("127."))
    with pytest.raises(Temporary):
        send(at(server.port, host="mail.lumen.example", security="starttls", may_be_private=False))
    assert len(asked) == 1
    assert server.connections == 0


@pytest.mark.requirement("NET-2")
def test_without_encryption_only_within_ones_own_network(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    server = begin()
    with pytest.raises(relay.SignInRefused):
        send(at(server.port, username="lumen", password="secret"))
    monkeypatch.setattr(hosts, "is_public", lambda _address: True)
    with pytest.raises(relay.HostRefused):
        send(at(server.port))
    assert server.connections == 0


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context whose certificate for localhost the client trusts."""
    context, public = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(public))
    trusting.minimum_version = wire.tls_context().minimum_version
    monkeypatch.setattr(wire, "tls_context", lambda: trusting)
    return context


@pytest.mark.requirement("NET-2")
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_encryption_and_sign_in(begin: Begin, trusted: ssl.SSLContext, security: str) -> None:
    server = begin({"AUTH": "235 2.7.0 welcome"}, tls=trusted, is_encrypted=security == "tls",
                   extensions=("STARTTLS", "AUTH PLAIN LOGIN"))  # fmt: skip
    assert send(at(server.port, host="localhost", security=security, username="lumen", password="se cret"))
    assert len(server.letters) == 1
    verbs = [line.split()[0] for line in server.lines]
    assert verbs.index("AUTH") < verbs.index("MAIL")
    if security == "starttls":
        assert verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]  # what was said in the clear is asked again
    server.script.answers["AUTH"] = "535 5.7.8 wrong for lumen"
    with pytest.raises(relay.SignInRefused) as caught:
        send(at(server.port, host="localhost", security=security, username="lumen", password="wrong"))
    assert "lumen" not in str(caught.value)
    server.script.answers["AUTH"] = "454 4.7.0 later"
    with pytest.raises(Temporary):
        send(at(server.port, host="localhost", security=security, username="lumen", password="right"))


@pytest.mark.requirement("NET-2")
@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("wrong", ["nobody vouches", "another name", "too old"])
def test_encryption_that_cannot_be_trusted_is_refused(
    begin: Begin, tmp_path: Path, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, security: str, wrong: str
) -> None:
    context = trusted
    if wrong == "nobody vouches":
        monkeypatch.undo()
    elif wrong == "another name":
        context, public = certificate(tmp_path, "mail.other.example")
        wire.tls_context().load_verify_locations(str(public))
    else:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    server = begin(tls=context, is_encrypted=security == "tls", extensions=("STARTTLS", "AUTH PLAIN"))
    with pytest.raises(relay.TlsRefused):
        send(at(server.port, host="localhost", security=security, username="lumen", password="secret"))
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.lines)


@pytest.mark.requirement("NET-2")
@pytest.mark.parametrize("answers", [{}, {"STARTTLS": "502 5.5.1 no"}, {"STARTTLS": "220 go on\r\n250-injected"}])
def test_a_server_that_will_not_encrypt_gets_nothing(begin: Begin, trusted: ssl.SSLContext, answers: dict[str, str]) -> None:
    offered = ("STARTTLS",) if answers else ()
    server = begin(answers, tls=trusted if answers else None, extensions=(*offered, "AUTH PLAIN"))
    with pytest.raises(relay.TlsRefused):
        send(at(server.port, host="localhost", security="starttls", username="lumen", password="secret"))
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.lines)


def test_no_secret_is_shown() -> None:
    assert "hush" not in repr(RelayServer("h", 25, "tls", "name", "hush"))
