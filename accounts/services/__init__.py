"""The rules about users, their passwords and sessions, each in one transaction with its audit entry."""

from accounts.services.challenges import BadChallenge, SecondFactorRequired, WrongCode
from accounts.services.emails import queue_verification, request_verification, update_profile, verify_email
from accounts.services.notices import sweep_addresses
from accounts.services.passwords import change_password, set_password
from accounts.services.recovery import request_reset, reset_password
from accounts.services.sessions import (
    AuthenticatedSession,
    authenticate_token,
    end_other_sessions,
    end_session,
    refresh,
    sign_out,
    sweep_sessions,
)
from accounts.services.sign_in import (
    BadCredentials,
    authenticate,
    request_passkey,
    sign_in,
    sign_in_by_passkey,
    sign_in_operator,
    use_factor,
    use_factor_of_operator,
)
from accounts.services.users import (
    add_user,
    check_registration,
    create_user,
    delete_user,
    new_user,
    update_user,
)

__all__ = [
    "AuthenticatedSession",
    "BadChallenge",
    "BadCredentials",
    "SecondFactorRequired",
    "WrongCode",
    "add_user",
    "authenticate",
    "authenticate_token",
    "change_password",
    "check_registration",
    "create_user",
    "delete_user",
    "end_other_sessions",
    "end_session",
    "new_user",
    "queue_verification",
    "refresh",
    "request_passkey",
    "request_reset",
    "request_verification",
    "reset_password",
    "set_password",
    "sign_in",
    "sign_in_by_passkey",
    "sign_in_operator",
    "sign_out",
    "sweep_addresses",
    "sweep_sessions",
    "update_profile",
    "update_user",
    "use_factor",
    "use_factor_of_operator",
    "verify_email",
]
