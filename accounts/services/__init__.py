"""The rules about users, their passwords and sessions, each in one transaction with its audit entry."""

from accounts.services.emails import queue_verification, request_verification, update_profile, verify_email
from accounts.services.identities import (
    ProvenIdentity,
    add_identity,
    link_identity,
    register_identity,
    remove_identity,
    sweep_challenges,
    user_of_identity,
)
from accounts.services.notices import note_sign_in, sweep_addresses
from accounts.services.oidc import StartedFlow, finish_flow, start_flow, sweep_flows
from accounts.services.passwords import change_password, set_password
from accounts.services.recovery import request_reset, reset_password
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
    check_registration,
    check_registration_open,
    create_user,
    delete_user,
    new_user,
    update_user,
)

__all__ = [
    "AuthenticatedSession",
    "BadCredentials",
    "ProvenIdentity",
    "StartedFlow",
    "add_identity",
    "add_user",
    "authenticate",
    "authenticate_token",
    "change_password",
    "check_registration",
    "check_registration_open",
    "create_user",
    "delete_user",
    "end_other_sessions",
    "end_session",
    "finish_flow",
    "link_identity",
    "new_user",
    "note_sign_in",
    "queue_verification",
    "refresh",
    "register_identity",
    "remove_identity",
    "request_reset",
    "request_verification",
    "reset_password",
    "set_password",
    "sign_in",
    "sign_out",
    "start_flow",
    "sweep_addresses",
    "sweep_challenges",
    "sweep_flows",
    "sweep_sessions",
    "update_profile",
    "update_user",
    "user_of_identity",
    "verify_email",
]
