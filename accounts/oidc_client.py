"""The client of OpenID Connect providers, by the authorization code flow (OpenID Connect Core 1.0, section 3.1).

The protocol is Authlib's and joserfc's. With requests they take 8 MiB of a process, so this module is imported when
somebody first signs in by a provider.

A provider may be away, slow or wrong. Each request to it takes one of the provider's own threads for DEADLINE_SECONDS
at most, so that it holds up few of the surface's threads, none for long, and no other provider.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from typing import Any, NamedTuple, TypeVar

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from cachetools import TTLCache, cached
from cachetools.keys import hashkey
from django.conf import settings
from joserfc import jwt
from joserfc.errors import InvalidClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from requests import PreparedRequest, RequestException, Response, Session, TooManyRedirects
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from accounts.errors import ProviderUnavailable, SignInRefused
from core.setting_types import OidcProvider
from core.waiting import waiting

log = logging.getLogger("maim.oidc")

DEADLINE_SECONDS = 5.0
# Threads that ask providers: AT_ONCE divided among them, and at least FEWEST_AT_ONCE for each. WAITING more requests
# for a provider wait WAIT_SECONDS for one of its threads.
AT_ONCE, FEWEST_AT_ONCE = 8, 2
WAITING, WAIT_SECONDS = 4, 1.0
_TIMEOUT_SECONDS = 3.0  # of a connection, and between two pieces of a response
_MAX_BYTES = 256 * 1024
_METADATA_SECONDS, _KEYS_SECONDS, _FRESH_KEYS_SECONDS = 3600, 300, 30
_LEEWAY_SECONDS = 60
# Not "none", and none with the client's secret as its key, which is no proof of the provider (RFC 8725, section 3.1).
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]

T = TypeVar("T")
S = TypeVar("S", bound=Session)


class InvalidProviderResponse(ValueError):
    """A response of a provider that is not as the specification has it."""


class AuthorizationRequest(NamedTuple):
    """A request that a browser takes to a provider. Its secrets prove that the response is to it."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class _Metadata(NamedTuple):
    """The part of a provider's discovery document that is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    auth_methods: list[str]
    names_issuer: bool


class _Adapter(HTTPAdapter):
    """An adapter of requests that follows no redirect, does not wait for long, and reads _MAX_BYTES of a response.

    A response that is cut off is no JSON.
    """

    def send(
        self, request: PreparedRequest, stream: bool = False, timeout: Any = None, *args: Any, **options: Any
    ) -> Response:
        with super().send(request, True, _TIMEOUT_SECONDS, *args, **options) as response:
            if response.is_redirect:
                raise TooManyRedirects
            response._content = response.raw.read(_MAX_BYTES, decode_content=True)
        return response


def authorization_url(provider: OidcProvider, sent: AuthorizationRequest) -> str:
    """Return where to send the browser. Raise ProviderUnavailable."""
    endpoint = _cached_metadata(provider).authorization_endpoint
    with _session(provider, sent.redirect_uri) as session:
        url, _state = session.create_authorization_url(
            endpoint, state=sent.state, code_verifier=sent.verifier, nonce=sent.nonce
        )
    return str(url)


def identify(provider: OidcProvider, sent: AuthorizationRequest, *, code: str, issuer: str | None) -> dict[str, Any]:
    """Exchange a code, and return the claims of the person who signed in, whose ID token is good.

    `issuer` is the parameter `iss` of the response (RFC 9207). Raise SignInRefused and ProviderUnavailable.
    """
    return _within_limits(provider, lambda: _identify(provider, sent, code, issuer))


class _Threads(NamedTuple):
    """The threads that ask one provider, and how many of them are free."""

    pool: ThreadPoolExecutor
    free: BoundedSemaphore


def _within_limits(provider: OidcProvider, ask: Callable[[], T]) -> T:
    """Run a function that asks a provider, in a thread of its own, so that no drop by drop outlasts the deadline."""
    threads = _threads_of(provider.id, max(FEWEST_AT_ONCE, AT_ONCE // len(settings.OIDC_PROVIDERS)))
    if not _take(threads.free):
        log.warning("provider %s has more sign-ins under way than it answers", provider.id)
        raise ProviderUnavailable(provider)
    answer = threads.pool.submit(ask)
    answer.add_done_callback(lambda _: threads.free.release())
    try:
        with waiting():
            return answer.result(DEADLINE_SECONDS)
    except (RequestException, HTTPError, TimeoutError, InvalidProviderResponse) as error:
        log.warning("provider %s does not answer as it should: %s", provider.id, _reason(error))
        raise ProviderUnavailable(provider) from error


@cached({}, lock=Lock())
def _threads_of(provider_id: str, number: int) -> _Threads:
    """Return the threads of a provider, which start when they are needed."""
    return _Threads(ThreadPoolExecutor(number, thread_name_prefix=f"oidc-{provider_id}"), BoundedSemaphore(number))


_waiting = BoundedSemaphore(WAITING)


def _take(free: BoundedSemaphore) -> bool:
    """Take one of a provider's threads, and return whether one became free in time."""
    if free.acquire(blocking=False):
        return True
    if not _waiting.acquire(blocking=False):
        return False
    try:
        with waiting():
            return free.acquire(timeout=WAIT_SECONDS)
    finally:
        _waiting.release()


def _reason(error: Exception) -> str:
    """Return what went wrong. The texts of libraries may hold a part of a response, which may be secret."""
    return str(error) if isinstance(error, InvalidProviderResponse) else type(error).__name__


def _session(provider: OidcProvider, redirect_uri: str, auth_method: str | None = None) -> OAuth2Session:
    session = OAuth2Session(
        provider.client_id,
        provider.client_secret,
        scope=" ".join(provider.scopes),
        redirect_uri=redirect_uri,
        token_endpoint_auth_method=auth_method,
        code_challenge_method="S256",
    )
    return _limited(session)


def _limited(session: S) -> S:
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    return session


def _identify(provider: OidcProvider, sent: AuthorizationRequest, code: str, issuer: str | None) -> dict[str, Any]:
    about = _metadata(provider)
    if issuer != about.issuer and (issuer is not None or about.names_issuer):
        raise SignInRefused(provider)
    token = _exchange(provider, about, sent, code)
    try:
        return _claims(provider, about, sent, token)
    except JoseError as error:
        log.warning("an ID token of provider %s is not good: %s", provider.id, error.error)
        raise SignInRefused(provider) from error


def _exchange(provider: OidcProvider, about: _Metadata, sent: AuthorizationRequest, code: str) -> dict[str, Any]:
    """Return the response of the token endpoint (RFC 6749, section 4.1.3; RFC 7636)."""
    posts = "client_secret_basic" not in about.auth_methods and "client_secret_post" in about.auth_methods
    method = "client_secret_post" if provider.client_secret and posts else None
    with _session(provider, sent.redirect_uri, method) as session:
        try:
            token = session.fetch_token(
                about.token_endpoint, grant_type="authorization_code", code=code, code_verifier=sent.verifier
            )
        except OAuthError as error:
            log.warning("provider %s refused a code: %s", provider.id, str(error.error)[:50])
            raise SignInRefused(provider) from error
        except (RequestException, HTTPError):
            raise
        except (ValueError, TypeError) as error:
            raise InvalidProviderResponse("the response of the token endpoint is no JSON object") from error
    return dict(token)


def _claims(
    provider: OidcProvider, about: _Metadata, sent: AuthorizationRequest, token: dict[str, Any]
) -> dict[str, Any]:
    """Return the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7). Raise JoseError."""
    text = token.get("id_token")
    if not isinstance(text, str) or not text.isascii():
        raise InvalidProviderResponse("there is no ID token")
    registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
    try:
        decoded = jwt.decode(text, _keys(about.jwks_uri), registry=registry)
    except InvalidKeyIdError:
        decoded = jwt.decode(text, _fresh_keys(about.jwks_uri), registry=registry)
    if not isinstance(decoded.claims.get("at_hash", ""), str):
        raise InvalidClaimError("at_hash")  # with which Authlib raises TypeError
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {"iss": {"essential": True, "value": about.issuer}, "aud": {"essential": True, "value": provider.client_id}},
        {"nonce": sent.nonce, "client_id": provider.client_id, "access_token": token.get("access_token")},
    )
    claims.validate(leeway=_LEEWAY_SECONDS)
    return dict(claims)


def _cached_metadata(provider: OidcProvider) -> _Metadata:
    """Return the metadata of a provider, without one of its threads while it is remembered. Raise ProviderUnavailable.

    So slow exchanges of codes keep nobody from beginning to sign in.
    """
    with _metadata_lock:
        known: _Metadata | None = _metadata_cache.get(hashkey(provider))
    return known or _within_limits(provider, lambda: _metadata(provider))


_metadata_cache: TTLCache[Any, _Metadata] = TTLCache(maxsize=32, ttl=_METADATA_SECONDS)
_metadata_lock = Lock()


@cached(_metadata_cache, lock=_metadata_lock)
def _metadata(provider: OidcProvider) -> _Metadata:
    found = _get(provider.discovery_url)
    if found.get("issuer") != provider.issuer:
        raise InvalidProviderResponse("the discovery document names another issuer")
    scheme = "https:" if provider.discovery_url.startswith("https:") else "http"
    endpoints = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(isinstance(url, str) and url.startswith(scheme) for url in endpoints):
        raise InvalidProviderResponse("the discovery document names no endpoints, or one without TLS")
    methods = found.get("token_endpoint_auth_methods_supported")
    authorization_endpoint, token_endpoint, jwks_uri = map(str, endpoints)
    return _Metadata(
        issuer=provider.issuer,
        authorization_endpoint=authorization_endpoint,
        token_endpoint=token_endpoint,
        jwks_uri=jwks_uri,
        auth_methods=methods if isinstance(methods, list) else ["client_secret_basic"],
        names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )


@cached(TTLCache(maxsize=32, ttl=_KEYS_SECONDS), lock=Lock())
def _keys(uri: str) -> KeySet:
    """Return the keys that a provider signs with."""
    keys = _get(uri).get("keys")
    known = [key for key in keys if _is_signing(key)] if isinstance(keys, list) else []
    try:
        return KeySet.import_key_set({"keys": known})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise InvalidProviderResponse("its keys cannot be read") from error


# For a token signed with a key that is not known, because it is new. At most one request in that time.
@cached(TTLCache(maxsize=32, ttl=_FRESH_KEYS_SECONDS), lock=Lock())
def _fresh_keys(uri: str) -> KeySet:
    _keys.cache_clear()
    return _keys(uri)


def _is_signing(key: object) -> bool:
    return isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"


def _get(url: str) -> dict[str, Any]:
    """Return the JSON object at a URL. Raise RequestException, HTTPError and InvalidProviderResponse."""
    with _limited(Session()) as session:
        response = session.get(url)
    response.raise_for_status()
    try:
        found = response.json()
    except ValueError as error:
        raise InvalidProviderResponse("a response is no JSON") from error
    if not isinstance(found, dict):
        raise InvalidProviderResponse("a response is no JSON object")
    return found
