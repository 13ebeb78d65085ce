"""The identities of people at providers of OpenID Connect, and the users who sign in by them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.access import identities_of
from accounts.errors import AccountInactive, BadLinkChallenge, IdentityTaken, LinkRequired
from accounts.models import Identity, LinkChallenge, QueuedMail, User
from accounts.random_tokens import digest_of, new_token
from accounts.services.confirmation import WrongPassword
from accounts.services.methods import methods_of
from accounts.services.notices import notify
from accounts.services.operators import follow_claims, role_by_claims
from accounts.services.password_login import check_way_to_sign_in
from accounts.services.sessions import lock_unchanged
from accounts.services.users import add_user, lock_user, new_user
from accounts.validators import email_errors, username_errors
from core import audit, sealing
from core.actor import Actor
from core.db import transactional, translate_unique_violation
from core.errors import Forbidden, NotFound, Unauthenticated
from core.sealing import Unsealable
from core.setting_types import OidcProvider
from core.text import fold

CHALLENGE_LIFETIME = timedelta(minutes=5)
_NAMES_TRIED = 5
_DUPLICATES = {"identity_unique": IdentityTaken(), "digest": IdentityTaken()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenIdentity:
    """A person as a provider's ID token proves them."""

    provider: str
    issuer: str
    subject: str
    username: str  # a valid one, which may be taken
    email: str | None
    email_verified: bool
    roles: dict[str, bool]  # as `role_by_claims` takes them; empty where the provider does not decide them

    @classmethod
    def of(cls, provider: OidcProvider, claims: dict[str, Any]) -> ProvenIdentity:
        """Return the identity in the claims of a good ID token, ignoring optional claims that are malformed."""
        email = claims.get("email")
        email = email if isinstance(email, str) and not email_errors(email) else None
        return cls(
            provider=provider.id,
            issuer=provider.issuer,
            subject=claims["sub"],
            username=_username(claims, email),
            email=email or None,
            email_verified=bool(email) and claims.get("email_verified") is True,
            roles=_roles(provider, claims),
        )

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.issuer, self.subject]).encode()).hexdigest()

    def usernames(self) -> Iterator[str]:
        """Yield the username, and then others like it, in case that it is taken."""
        yield self.username
        for _number in range(1, _NAMES_TRIED):
            yield f"{self.username}-{secrets.token_hex(3)}"


def _username(claims: dict[str, Any], email: str | None) -> str:
    """Return the first of the claimed names that may be a username."""
    claimed = (claims.get("preferred_username"), (email or "").partition("@")[0], claims.get("name"))
    names = [" ".join(name.split())[:80] for name in claimed if isinstance(name, str)]
    return next((name for name in names if not username_errors(name)), "user")


def _roles(provider: OidcProvider, claims: dict[str, Any]) -> dict[str, bool]:
    """Return which of the roles that the provider decides the claims have."""
    if provider.role_claim is None:
        return {}
    claimed = claims.get(provider.role_claim)
    values = {value for value in (claimed if isinstance(claimed, list) else [claimed]) if isinstance(value, str)}
    roles = {"is_superuser": provider.superuser_values, "is_support": provider.support_values}
    by_role = {name: bool(values & deciding) for name, deciding in roles.items() if deciding}
    return {"is_staff": bool(values & provider.operator_values) or any(by_role.values()), **by_role}


def user_of_identity(*, actor: Actor, proven: ProvenIdentity) -> User | None:
    """Return the user who signs in by an identity, with the roles that its claims give them, or None.

    Raise AccountInactive, and LinkRequired if nobody does and a user has the verified e-mail address.
    """
    user = _use(proven)
    if user is None:
        try:
            _check_email_is_free(proven)
        except Forbidden:
            user = _use(proven)  # the address may be of a user whom this identity got meanwhile
            if user is None:
                raise
    return None if user is None else update_roles(actor=actor, user=user, proven=proven)


@transactional
def _use(proven: ProvenIdentity) -> User | None:
    known = Identity.objects.filter(digest=proven.digest)
    user = User.objects.select_for_update().filter(pk__in=known.values_list("user")).first()
    if not known.filter(user=user).update(last_used_at=timezone.now(), provider=proven.provider):
        return None
    return _active(user)


def update_roles(*, actor: Actor, user: User, proven: ProvenIdentity) -> User:
    """Give a user the roles of the claims, and take those away that they do not have. Return the user."""
    if not proven.roles:
        return user
    return follow_claims(actor=_provider_actor(actor, proven), user_id=user.pk, claims=proven.roles)


def register_identity(*, actor: Actor, proven: ProvenIdentity, username: str) -> User:
    """Create the user of a new identity, without a password. Call it in a transaction.

    Raise Invalid for a taken username or e-mail address, and IdentityTaken.
    """
    user = new_user(
        username=username,
        password=None,
        email=proven.email if proven.email_verified or not _user_with_email(proven) else None,
    )
    if proven.email_verified:
        user.verified_email = user.email
    role = role_by_claims(None, proven.roles) if proven.roles else None
    add_user(actor=_provider_actor(actor, proven), user=user, operator_role=role)
    _add(actor=actor, user=user, proven=proven)
    return user


def link_identity(*, actor: Actor, challenge: str, password: str) -> User:
    """Link an identity to the user who has its e-mail address and enters their password, and return the user.

    A wrong password leaves the challenge good. Raise BadLinkChallenge, WrongPassword, IdentityTaken, TooMany,
    Unavailable, and Forbidden for a user with a second factor, which this would not ask for.
    """
    throttle.attempt(account=f"challenge {challenge}", address=actor.address)
    found = LinkChallenge.objects.select_related("user").filter(pk=digest_of(challenge)).first()
    if found is None or found.expires_at <= timezone.now():
        raise BadLinkChallenge
    throttle.attempt(account=found.user.username, address=actor.address)
    if not found.user.check_password(password):
        raise WrongPassword
    proven = _proven(found)
    user = _link(actor=actor, challenge=found, proven=proven)
    return update_roles(actor=actor, user=user, proven=proven)


def _proven(challenge: LinkChallenge) -> ProvenIdentity:
    try:
        return ProvenIdentity(**json.loads(sealing.unseal(challenge.content)))
    except Unsealable as error:  # of a key that was given up since
        raise BadLinkChallenge from error


@transactional
def _link(*, actor: Actor, challenge: LinkChallenge, proven: ProvenIdentity) -> User:
    user = lock_unchanged(challenge.user)
    if user is None:
        raise WrongPassword
    if methods_of(user):
        raise Forbidden(_("This account has a second factor: sign in with that, and add the provider in your account"))
    if not LinkChallenge.objects.filter(pk=challenge.pk).delete()[0]:
        raise BadLinkChallenge
    _add(actor=actor, user=user, proven=proven)
    return user


@transactional
def add_identity(*, actor: Actor, user: User, proven: ProvenIdentity) -> Identity:
    """Link an identity to a signed-in user, unless it is already, and return it. Raise IdentityTaken."""
    locked = lock_unchanged(user)
    if locked is None:
        raise Unauthenticated
    known = Identity.objects.filter(user=locked, digest=proven.digest).first()
    return known or _add(actor=actor, user=locked, proven=proven)


@transactional
def remove_identity(*, actor: Actor, identity_id: str) -> None:
    """Remove an identity of the person who acts. Raise NotFound, and Conflict for their last way to sign in."""
    if actor.id is None:
        raise NotFound
    user = lock_user(actor.id)
    identity = identities_of(actor).filter(pk=identity_id).first()
    if identity is None:
        raise NotFound
    before = _audit_state(identity)
    identity.delete()
    check_way_to_sign_in(user)
    _tell(QueuedMail.Kind.IDENTITY_REMOVED, actor, user, identity)
    audit.record(actor=actor, action="identity.delete", object_id=identity_id, tenant_id=None, before=before)


def sweep_link_challenges() -> int:
    """Delete expired challenges, and return their number."""
    return LinkChallenge.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _check_email_is_free(proven: ProvenIdentity) -> None:
    """Raise LinkRequired if a user has the verified e-mail address, with a challenge for their password.

    Raise Forbidden if they have none, which could link the identity.
    """
    user = _user_with_email(proven) if proven.email_verified else None
    if user is None:
        return
    if not user.has_usable_password():
        raise Forbidden(_("An account has this e-mail address already; sign in to it, and add the provider there"))
    try:
        challenge = open_challenge(user=_active(user), proven=proven)
    except NotFound:  # deleted meanwhile, with which the address became free
        return
    raise LinkRequired(challenge)


@transactional
def open_challenge(*, user: User, proven: ProvenIdentity) -> str:
    """Return the secret of a new challenge, by which a user's password links an identity. Raise NotFound."""
    lock_user(user.pk)  # so that they cannot be deleted meanwhile
    challenge = new_token()
    LinkChallenge.objects.create(
        digest=digest_of(challenge),
        user=user,
        content=sealing.seal(json.dumps(asdict(proven))),
        expires_at=timezone.now() + CHALLENGE_LIFETIME,
    )
    return challenge


def _add(*, actor: Actor, user: User, proven: ProvenIdentity) -> Identity:
    identity = Identity(
        user=user,
        provider=proven.provider,
        issuer=proven.issuer,
        subject=proven.subject,
        digest=proven.digest,
    )
    with translate_unique_violation(_DUPLICATES):
        identity.save(force_insert=True)
    _tell(QueuedMail.Kind.IDENTITY_ADDED, actor, user, identity)
    audit.record(
        actor=actor, action="identity.create", object_id=identity.id, tenant_id=None, after=_audit_state(identity)
    )
    return identity


def _tell(kind: QueuedMail.Kind, actor: Actor, user: User, identity: Identity) -> None:
    provider = settings.OIDC_PROVIDERS.get(identity.provider)
    name = identity.provider if provider is None else provider.name
    notify(kind, actor=actor, user=user, to=user.email, about=name)


def _user_with_email(proven: ProvenIdentity) -> User | None:
    return User.objects.filter(email_folded=fold(proven.email)).first() if proven.email else None


def _active(user: User | None) -> User:
    if user is None or not user.is_active:
        raise AccountInactive
    return user


def _provider_actor(actor: Actor, proven: ProvenIdentity) -> Actor:
    """Return the sender of the request, labelled with the provider that decided the change."""
    return replace(actor, label=f"OpenID Connect: {proven.provider}")


def _audit_state(identity: Identity) -> dict[str, object]:
    return {
        "user": identity.user_id,
        "provider": identity.provider,
        "issuer": identity.issuer,
        "subject": identity.subject,
    }
