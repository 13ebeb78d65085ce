"""Mail servers with TLS: a certificate that is not to be trusted gets no mail."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.test import override_settings

from accounts import services
from accounts.mail.sender import send_due
from accounts.models import QueuedMail
from maim.email_url import parse_email_url
from tests.support.instances import free_port
from tests.support.mail import Mailbox, mail_goes_to
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
ALICE = "alice@example.com"
SCHEMES = ("smtps", "smtp+tls")


def make_certificate(path: Path, address: str) -> Path:
    """Write a key and its self-signed certificate for an IP address."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


@contextmanager
def tls_server(scheme: str, certificate: Path) -> Iterator[Mailbox]:
    """Run a mail server with this certificate, to which this process sends its mails."""
    with warnings.catch_warnings():
        # aiosmtpd uses the server's context for a client of its own, which none of the newer kinds allows.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    context.load_cert_chain(certificate)
    options: dict[str, Any] = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context}
    mailbox = Mailbox(free_port())
    with mailbox.open(**options), mail_by_tls(scheme, mailbox):
        yield mailbox


@contextmanager
def mail_by_tls(scheme: str, mailbox: Mailbox) -> Iterator[None]:
    server = parse_email_url(f"{scheme}://127.0.0.1:{mailbox.port}")
    with mail_goes_to(mailbox), override_settings(EMAIL_USE_TLS=server.use_tls, EMAIL_USE_SSL=server.use_ssl):
        yield


@pytest.fixture(autouse=True)
def waiting_mail(alice: Person) -> None:
    """A mail to Alice that waits."""
    services.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"email": ALICE})
    services.request_reset(actor=OPERATOR, email=ALICE)


def expect_kept(mailbox: Mailbox, error: type[OSError] = OSError) -> None:
    with pytest.raises(error):
        send_due()

    assert not mailbox.mails
    assert QueuedMail.objects.get().attempts == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_trusted_certificate_gets_the_mail(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path / "mail.pem", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with tls_server(scheme, certificate) as mailbox:
        assert send_due() == 1

    assert mailbox.recipients == [ALICE]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unknown_certificate_gets_no_mail(scheme: str, tmp_path: Path) -> None:
    with tls_server(scheme, make_certificate(tmp_path / "mail.pem", "127.0.0.1")) as mailbox:
        expect_kept(mailbox, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_certificate_of_another_host_gets_no_mail(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path / "mail.pem", "192.0.2.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with tls_server(scheme, certificate) as mailbox:
        expect_kept(mailbox, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_server_without_tls_gets_no_mail(scheme: str) -> None:
    """Nobody between maim and the mail server can talk maim out of TLS."""
    mailbox = Mailbox(free_port())
    with mailbox.open(), mail_by_tls(scheme, mailbox), override_settings(EMAIL_TIMEOUT=2):
        expect_kept(mailbox)
