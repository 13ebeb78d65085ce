"""The rules about users, their passwords and sessions, each in one transaction with its audit entry."""

from accounts.services.emails import queue_verification, request_verification, update_profile, verify_email
from accounts.services.notices import note_sign_in, sweep_addresses
from accounts.services.passwords import change_password, set_password
from accounts.services.recovery import request_reset, reset_password
from accounts.services.registration import (
    Invited,
    accept_invitation,
    check_registration,
    invite,
    revoke_invitation,
)
from accounts.services.sessions import (
    AuthenticatedSession,
    BadCredentials,
    authenticate,
    authenticate_token,
    end_other_sessions,
    end_session,
    refresh,
    sign_in,
    sign_out,
    sweep_sessions,
)
from accounts.services.users import (
    add_user,
    close_account,
    create_user,
    delete_user,
    lock_user,
    new_user,
    update_user,
)

__all__ = [
    "AuthenticatedSession",
    "BadCredentials",
    "Invited",
    "accept_invitation",
    "add_user",
    "authenticate",
    "authenticate_token",
    "change_password",
    "check_registration",
    "close_account",
    "create_user",
    "delete_user",
    "end_other_sessions",
    "end_session",
    "invite",
    "lock_user",
    "new_user",
    "note_sign_in",
    "queue_verification",
    "refresh",
    "request_reset",
    "request_verification",
    "reset_password",
    "revoke_invitation",
    "set_password",
    "sign_in",
    "sign_out",
    "sweep_addresses",
    "sweep_sessions",
    "update_profile",
    "update_user",
    "verify_email",
]
