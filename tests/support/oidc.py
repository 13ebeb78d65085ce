"""A provider of OpenID Connect on a port of this process, which lies where a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from django.test import override_settings
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from accounts import services
from accounts.models import Identity, User
from accounts.services import identities
from core.setting_types import DISCOVERY_PATH, OidcProvider
from tests.support.people import OPERATOR, PASSWORD

CLIENT_ID, CLIENT_SECRET = "maim", "client-secret-of-maim"
REDIRECT_URI = "http://localhost:8880/signed-in"
ISSUER = "https://acme.example"
KEY = ECKey.generate_key("P-256", parameters={"kid": "first", "use": "sig"})
_at_work: list[Provider] = []
Answer = Callable[["Handler"], None]


class Provider:
    """A provider, the people who sign in, and what it says to whoever asks."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        self.signs_with: Any = KEY
        self.keys = [KEY]
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "first"}
        self.claims: dict[str, Any] = {}  # of every ID token; None removes one
        self.answers: dict[str, Answer] = {}  # by path, in place of the usual one
        self.requests: list[str] = []
        self._codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}

    def setting(self, **fields: Any) -> OidcProvider:
        """Return the provider as MAIM_OIDC_PROVIDERS has it."""
        values = {"id": "acme", "name": "ACME", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **fields}
        return OidcProvider(discovery_url=self.issuer + DISCOVERY_PATH, **values)

    def sign_in(self, authorization_url: str, sub: str = "alice-at-acme", **claims: Any) -> dict[str, str]:
        """Sign a person in, as the provider's page does, and return the parameters for the redirect URI."""
        asked = dict(parse_qsl(urlsplit(authorization_url).query))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked, {"sub": sub, **claims}
        return {"code": code, "state": asked["state"]}

    def exchange(self, sent: dict[str, str], authorization: str | None) -> dict[str, Any]:
        """Return the response of the token endpoint."""
        asked, claims = self._codes.pop(sent["code"], ({}, {}))
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        is_client = authorization == f"Basic {basic}" or sent.get("client_secret") == CLIENT_SECRET
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest()).decode()
        is_same = (asked.get("code_challenge"), asked.get("code_challenge_method")) == (challenge.rstrip("="), "S256")
        if not is_client or not is_same or asked["redirect_uri"] != sent["redirect_uri"]:
            return {"error": "invalid_grant"}
        return {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"], claims)}

    def id_token(self, nonce: str, claims: dict[str, Any]) -> str:
        now = int(time.time())
        told = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "nonce": nonce, **claims}
        told = {name: value for name, value in {**told, **self.claims}.items() if value is not None}
        if isinstance(self.signs_with, bytes):
            return _forged(self.header, told, self.signs_with)
        return jwt.encode(self.header, told, self.signs_with, algorithms=[self.header["alg"]])


def _forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Return a token that libraries refuse to sign: with a public key as a secret, or with nothing."""
    text = b".".join(urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(secret, text, "sha256") if secret else b""
    return b".".join((text, urlsafe_b64encode(signature))).decode()


class Handler(BaseHTTPRequestHandler):
    provider: ClassVar[Provider]

    def do_GET(self) -> None:  # of http.server
        self.provider.requests.append(self.path)
        usual: dict[str, Callable[[], Any]] = {
            DISCOVERY_PATH: lambda: self.provider.metadata,
            "/keys": lambda: {"keys": [key.as_dict(private=False) for key in self.provider.keys]},
            "/token": self._exchange,
        }
        answer = self.provider.answers.get(self.path) or partial(Handler.reply, body=usual[self.path]())
        answer(self)

    do_POST = do_GET  # noqa: N815

    def reply(self, body: Any, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(400 if isinstance(body, dict) and "error" in body else status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _exchange(self) -> dict[str, Any]:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        return self.provider.exchange(dict(parse_qsl(sent)), self.headers.get("Authorization"))

    def log_message(self, *_args: Any) -> None:
        pass


def link_challenge(user: User) -> str:
    """Return a challenge that a user's password answers."""
    return identities.open_challenge(user=user, proven=proven_identity(f"{user}-linked"))


def add_identity(user: User, subject: str, issuer: str = ISSUER) -> str:
    """Give a user an identity, unless they have it, and return its id."""
    values = {"user": user, "provider": "acme", "issuer": issuer, "subject": subject}
    row, _is_new = Identity.objects.get_or_create(digest=proven_identity(subject, issuer).digest, defaults=values)
    return str(row.pk)


def proven_identity(subject: str, issuer: str = ISSUER) -> identities.ProvenIdentity:
    return identities.ProvenIdentity(
        provider="acme", issuer=issuer, subject=subject, username="user", email=None, email_verified=False, roles={}
    )


def request_values(path: str, user: User | None) -> dict[str, str]:
    """Return the values for a request about identities, of a user or of nobody, at the provider that works now."""
    if "/oidc/" not in path and "/identities/{provider}" not in path:
        return {}
    provider = _at_work[-1]
    adds_to = _with_known_password(user) if user and "/identities/" in path else None
    started = services.start_flow(
        actor=OPERATOR, provider_id="acme", redirect_uri=REDIRECT_URI, user=adds_to, password=PASSWORD
    )
    subject = f"{user}-at-acme"
    if user and not adds_to:
        add_identity(user, subject, provider.issuer)
    return {
        "provider": "acme",
        "redirect_uri": REDIRECT_URI,
        "flow": started.flow,
        "iss": provider.issuer,
        "challenge": link_challenge(user) if user else "none",
        **provider.sign_in(started.authorization_url, sub=subject),
    }


def _with_known_password(user: User) -> User | None:
    """Return a user as stored, with PASSWORD again if requests have changed it, or None for an inactive one."""
    stored = User.objects.filter(pk=user.pk, is_active=True).first()
    if stored is not None and not stored.check_password(PASSWORD):
        stored.set_password(PASSWORD)
        stored.save(update_fields=["password"])
    return stored


@contextmanager
def provider_at_work(**fields: Any) -> Iterator[Provider]:
    """Run a provider, by which people may sign in."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = Provider(server.server_port)
        server.RequestHandlerClass = type("OneHandler", (Handler,), {"provider": provider})
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        setting = provider.setting(**fields)
        try:
            with override_settings(OIDC_PROVIDERS={setting.id: setting}):
                _at_work.append(provider)
                yield provider
                _at_work.pop()
        finally:
            server.shutdown()
