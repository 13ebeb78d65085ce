"""Time-based codes (RFC 6238), as authenticator apps show them: six digits that change every 30 seconds."""

from __future__ import annotations

import pyotp
import segno
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pyotp.exceptions import OTPVerificationError

from accounts.models import TotpFactor, User
from core import sealing
from core.errors import Unavailable


class SecretLost(Unavailable):
    """A secret whose key is not in MAIM_ENCRYPTION_KEYS. Another machine may have it."""

    message = _("The app's codes cannot be checked just now; use another method, or tell an operator")


# The code before and after the current one are good, too, for clocks that differ (RFC 6238 section 5.2).
_WINDOW = 1


def new_secret() -> str:
    """Return a random secret of 160 bits in Base32, the length that RFC 4226 section 4 recommends."""
    return pyotp.random_base32()


def uri(user: User, secret: str) -> str:
    """Return the address by which an authenticator app takes a secret."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=settings.PUBLIC_HOST or "maim")


def qr_code(uri: str) -> segno.QRCode:
    """Return an address as a QR code, which apps scan."""
    return segno.make(uri, micro=False)


def use(factor: TotpFactor, code: str) -> bool:
    """Return whether a code is good, and use it up with all that came before. Of several at once, one gets True.

    Raise SecretLost.
    """
    try:
        totp = pyotp.TOTP(sealing.unseal(factor.secret))
        step = totp.verify_and_get_timecode(code.replace(" ", ""), for_time=timezone.now(), valid_window=_WINDOW)
    except OTPVerificationError:
        return False
    except sealing.Unsealable as error:
        raise SecretLost from error
    return bool(TotpFactor.objects.filter(pk=factor.pk, last_step__lt=step).update(last_step=step))
