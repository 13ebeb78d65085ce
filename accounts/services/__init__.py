"""The rules about users, their passwords and sessions, each in one transaction with its audit entry."""

from accounts.services.challenges import BadChallenge, SecondFactorRequired, WrongCode, passkey_options
from accounts.services.confirmation import WrongPassword
from accounts.services.emails import queue_verification, request_verification, update_profile, verify_email
from accounts.services.factors import (
    TotpEnrolment,
    begin_totp,
    confirm_totp,
    factors_of,
    remove_factors,
    remove_totp,
    renew_recovery_codes,
    sweep_unconfirmed,
)
from accounts.services.identities import (
    ProvenIdentity,
    add_identity,
    link_identity,
    register_identity,
    remove_identity,
    sweep_challenges,
    user_of_identity,
)
from accounts.services.methods import methods_of
from accounts.services.notices import sweep_addresses
from accounts.services.oidc import StartedFlow, finish_flow, start_flow, sweep_flows
from accounts.services.own_passkeys import add_passkey, begin_passkey, remove_passkey, rename_passkey
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
from accounts.services.sign_ins import (
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
    check_registration_open,
    create_user,
    delete_user,
    new_user,
    update_user,
)

__all__ = [
    "AuthenticatedSession",
    "BadChallenge",
    "BadCredentials",
    "ProvenIdentity",
    "SecondFactorRequired",
    "StartedFlow",
    "TotpEnrolment",
    "WrongCode",
    "WrongPassword",
    "add_identity",
    "add_passkey",
    "add_user",
    "authenticate",
    "authenticate_token",
    "begin_passkey",
    "begin_totp",
    "change_password",
    "check_registration",
    "check_registration_open",
    "confirm_totp",
    "create_user",
    "delete_user",
    "end_other_sessions",
    "end_session",
    "factors_of",
    "finish_flow",
    "link_identity",
    "methods_of",
    "new_user",
    "passkey_options",
    "queue_verification",
    "refresh",
    "register_identity",
    "remove_factors",
    "remove_identity",
    "remove_passkey",
    "remove_totp",
    "rename_passkey",
    "renew_recovery_codes",
    "request_passkey",
    "request_reset",
    "request_verification",
    "reset_password",
    "set_password",
    "sign_in",
    "sign_in_by_passkey",
    "sign_in_operator",
    "sign_out",
    "start_flow",
    "sweep_addresses",
    "sweep_challenges",
    "sweep_flows",
    "sweep_sessions",
    "sweep_unconfirmed",
    "update_profile",
    "update_user",
    "use_factor",
    "use_factor_of_operator",
    "user_of_identity",
    "verify_email",
]
