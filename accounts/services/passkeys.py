"""The use of passkeys, alone or as a second factor."""

from __future__ import annotations

from django.utils import timezone

from accounts import webauthn
from accounts.models import Passkey, User
from accounts.webauthn import Credential, Options, WrongPasskey


def find_passkey(credential: Credential) -> Passkey | None:
    """Return the passkey with the id of a credential, which proves nothing yet, with its user. Raise WrongPasskey."""
    digest = webauthn.credential_digest(credential)
    return Passkey.objects.select_related("user").filter(credential_digest=digest).first()


def second_step_options(user: User, challenge: str) -> Options | None:
    """Return the options by which a browser answers a challenge with one of a user's passkeys.

    None without passkeys, and where they cannot be used because MAIM_PUBLIC_URL was taken away.
    """
    own = list(user.passkeys.all())
    return webauthn.request_options(challenge, own) if own and webauthn.is_available() else None


def use_passkey(locked: User, challenge: str, credential: Credential) -> None:
    """Check what a passkey of a locked user answers to a challenge, and record the use.

    The lock lets several uses see each other's sign counts. Raise WrongPasskey and NoPasskeysHere.
    """
    digest = webauthn.credential_digest(credential)
    passkey = locked.passkeys.filter(credential_digest=digest).first()
    if passkey is None:
        raise WrongPasskey
    use = webauthn.verify(challenge, credential, passkey)
    Passkey.objects.filter(pk=passkey.pk).update(
        sign_count=use.sign_count, backed_up=use.backed_up, last_used_at=timezone.now()
    )
