"""Sign-in by OpenID Connect: a flow that a browser begins, takes to a provider, and finishes with what it got there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.errors import BadFlow, SignInRefused
from accounts.models import OidcFlow, User
from accounts.random_tokens import digest_of, new_token
from accounts.services.confirmation import confirm_password
from accounts.services.identities import ProvenIdentity
from accounts.services.sessions import lock_unchanged
from core import sealing
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid, NotFound, Unauthenticated
from core.sealing import Unsealable
from core.setting_types import OidcProvider

FLOW_LIFETIME = timedelta(minutes=10)
# Of people who are not signed in. A flood from many addresses ends the oldest flows, and new ones still begin.
MAX_FLOWS = 10_000
# More than one, so that a smaller limit is reached in time, too.
_GIVEN_UP_AT_ONCE = 10
_MAX_SUBJECT = 255  # OpenID Connect Core 1.0, section 2


class StartedFlow(NamedTuple):
    """An URL to send the browser to, and the secret that it keeps for `finish_flow`. Never log it."""

    authorization_url: str
    flow: str

    def __repr__(self) -> str:
        return "StartedFlow(…)"


def get_provider(provider_id: str) -> OidcProvider:
    """Return a provider. Raise NotFound."""
    provider: OidcProvider | None = settings.OIDC_PROVIDERS.get(provider_id)
    if provider is None:
        raise NotFound(_("There is no such provider to sign in with"))
    return provider


def start_flow(
    *, actor: Actor, provider_id: str, redirect_uri: str, user: User | None = None, password: str | None = None
) -> StartedFlow:
    """Begin a sign-in, or for a signed-in user, who confirms it, the linking of an identity.

    Raise NotFound, Invalid for a redirect URI of another origin, as `confirm_password`, TooMany, ProviderUnavailable.
    """
    provider = get_provider(provider_id)
    secret = new_token()
    throttle.attempt(account=f"flow {secret}", address=actor.address)
    _check_redirect_uri(redirect_uri)
    if user is not None:
        confirm_password(actor=actor, user=user, password=password)
    client = _client()
    request = client.AuthorizationRequest(
        state=new_token(),
        nonce=new_token(),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
    )
    url = client.authorization_url(provider, request)
    _store(provider=provider, secret=secret, content=request._asdict(), user=user)
    return StartedFlow(url, secret)


def finish_flow(
    *,
    actor: Actor,
    provider_id: str,
    flow: str,
    code: str,
    state: str,
    iss: str | None = None,
    user: User | None = None,
) -> ProvenIdentity:
    """Return whom a provider has signed in, for the browser that began the flow. A flow is used once.

    Raise NotFound, BadFlow, SignInRefused, TooMany, and ProviderUnavailable.
    """
    provider = get_provider(provider_id)
    throttle.attempt(account=f"flow {flow}", address=actor.address)
    row = _take(digest_of(flow))
    if row is None or not _is_of(row, provider, user):
        raise BadFlow
    client = _client()
    request = client.AuthorizationRequest(**_content(row))
    if not constant_time_compare(request.state, state):
        raise BadFlow
    claims = client.identify(provider, request, code=code, issuer=iss)
    if not 0 < len(claims["sub"]) <= _MAX_SUBJECT or not claims["sub"].isascii():
        raise SignInRefused(provider)
    return ProvenIdentity.of(provider, claims)


def sweep_flows() -> int:
    """Delete expired flows, and return their number."""
    return OidcFlow.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _client() -> Any:
    """Return the module that speaks OpenID Connect. It is imported here, because it takes 8 MiB of a process."""
    from accounts import oidc_client

    return oidc_client


def _check_redirect_uri(uri: str) -> None:
    """Raise Invalid for a URI outside of this surface and the consoles, which would get somebody's code."""
    allowed: Collection[str] = (settings.PEOPLE_URL, *settings.CORS_ALLOWED_ORIGINS)
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if f"{parts.scheme}://{parts.netloc.lower()}" not in allowed or parts.fragment or not uri.isascii():
        raise Invalid({"redirect_uri": [_("Must be a page of MAIM_PUBLIC_URL or of an origin in MAIM_CORS_ORIGINS")]})


@transactional
def _store(*, provider: OidcProvider, secret: str, content: dict[str, str], user: User | None) -> None:
    if user is not None and lock_unchanged(user) is None:  # since the provider was asked
        raise Unauthenticated
    OidcFlow.objects.create(
        digest=digest_of(secret),
        provider=provider.id,
        content=sealing.seal(json.dumps(content)),
        user=user,
        session_hash=user.get_session_auth_hash() if user else "",
        expires_at=timezone.now() + FLOW_LIFETIME,
    )
    if user is None:
        _give_up_oldest()


def _give_up_oldest() -> None:
    """Delete the oldest flows of people who are not signed in beyond MAX_FLOWS, a few at a time."""
    newest_first = OidcFlow.objects.filter(user=None).order_by("-expires_at", "-digest").values_list("pk", flat=True)
    beyond = list(newest_first[MAX_FLOWS : MAX_FLOWS + _GIVEN_UP_AT_ONCE])
    if beyond:
        OidcFlow.objects.filter(pk__in=beyond).delete()


@transactional
def _take(digest: str) -> OidcFlow | None:
    """Delete a flow and return it. Of several requests with it at once, one gets it."""
    row = OidcFlow.objects.filter(pk=digest).first()
    return row if OidcFlow.objects.filter(pk=digest).delete()[0] else None


def _content(row: OidcFlow) -> dict[str, str]:
    try:
        content: dict[str, str] = json.loads(sealing.unseal(row.content))
    except Unsealable as error:  # of a key that was given up since
        raise BadFlow from error
    return content


def _is_of(row: OidcFlow, provider: OidcProvider, user: User | None) -> bool:
    """Return whether a flow has not expired, and belongs to a provider and to a user, or nobody."""
    session_hash = user.get_session_auth_hash() if user else ""
    return (
        row.expires_at > timezone.now()
        and row.provider == provider.id
        and row.user_id == (user.pk if user else None)
        and constant_time_compare(row.session_hash, session_hash)
    )
