"""People, how they sign in, and the mails that they get."""

from accounts.models.factors import (
    PASSKEY_NAME_LENGTH,
    Passkey,
    RecoveryCode,
    SignInChallenge,
    TotpFactor,
    UsedChallenge,
)
from accounts.models.identities import Identity, LinkChallenge, OidcFlow
from accounts.models.mail import EmailToken, Invitation, QueuedMail
from accounts.models.sessions import DEVICE_LENGTH, TOKEN_NAME_LENGTH, PersonalToken, SignInAddress, TokenSession
from accounts.models.users import User

__all__ = (
    "DEVICE_LENGTH",
    "PASSKEY_NAME_LENGTH",
    "TOKEN_NAME_LENGTH",
    "EmailToken",
    "Identity",
    "Invitation",
    "LinkChallenge",
    "OidcFlow",
    "Passkey",
    "PersonalToken",
    "QueuedMail",
    "RecoveryCode",
    "SignInAddress",
    "SignInChallenge",
    "TokenSession",
    "TotpFactor",
    "UsedChallenge",
    "User",
)
