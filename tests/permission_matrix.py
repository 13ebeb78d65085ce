"""The permissions, one row for each route and method: see `tests/test_permissions.py`.

`owner`, `member` and `stranger` are Alice, Bob and Charlie. The objects in the paths are Alice's; her agent's config
has two versions, her tenant is offered to Bob, and the member in a path is Bob. Whoever accepts an invitation is
invited into her tenant. `former` was an admin of it. `inactive` is a deactivated admin who still holds a token, so that
only the deactivation keeps them out. The last two columns are Alice and Bob while her tenant is suspended. Alice's
personal access tokens have a table of their own.

A path may be followed by a member of the body. A request that names no tenant is about the caller's own first one,
which Bob and Charlie have too.
"""

from __future__ import annotations

from typing import Any

COLUMNS = (
    "nobody", "owner", "admin", "member", "viewer", "stranger", "former", "inactive",
    "suspended owner", "suspended member",
)  # fmt: skip
TOKEN_COLUMNS = ("read token", "write token", "other token")

# fmt: off
PUBLIC = """
                                                              no-            mem- view-stra-for- inac- susp.susp.
                                                              body own. adm. ber  er   nger mer  tive  own. mem.
GET     /                                                     200  200  200  200  200  200  200  200   200  200
GET     /health                                               200  200  200  200  200  200  200  200   200  200
GET     /docs                                                 200  200  200  200  200  200  200  200   200  200
GET     /favicon.ico                                          200  200  200  200  200  200  200  200   200  200
GET     /account/accept-invitation                            200  200  200  200  200  200  200  200   200  200
GET     /account/join-tenant                                  200  200  200  200  200  200  200  200   200  200
GET     /account/reset-password                               200  200  200  200  200  200  200  200   200  200
GET     /account/verify-email                                 200  200  200  200  200  200  200  200   200  200
GET     /api/v1/openapi.json                                  200  200  200  200  200  200  200  200   200  200

POST    /api/v1/auth/register                                 200  200  200  200  200  200  200  200   200  200
POST    /api/v1/auth/login                                    400  200  200  200  200  200  200  400   200  200
POST    /api/v1/auth/mfa                                      401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/passkey/options                          200  200  200  200  200  200  200  200   200  200
POST    /api/v1/auth/passkey                                  400  200  200  200  200  200  200  400   200  200
POST    /api/v1/auth/refresh                                  401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/logout                                   401  204  204  204  204  204  204  204   204  204
POST    /api/v1/auth/password                                 401  204  204  204  204  204  204  401   204  204
GET     /api/v1/auth/factors                                  401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/factors/totp                             401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/factors/totp/confirm                     401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/factors/totp/remove                      401  204  204  204  204  204  204  401   204  204
POST    /api/v1/auth/factors/passkeys                         401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/factors/passkeys/confirm                 401  200  200  200  200  200  200  401   200  200
PATCH   /api/v1/auth/factors/passkeys/{passkey_id}            401  200  404  404  404  404  404  401   200  404
POST    /api/v1/auth/factors/passkeys/{passkey_id}/remove     401  204  404  404  404  404  404  401   204  404
POST    /api/v1/auth/factors/recovery-codes                   401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/password/forgot                          202  202  202  202  202  202  202  202   202  202
POST    /api/v1/auth/password/reset                           400  204  204  204  204  204  204  400   204  204
POST    /api/v1/auth/email/verify                             400  204  204  204  204  204  204  400   204  204
POST    /api/v1/auth/email/verification                       401  202  202  202  202  202  202  401   202  202
GET     /api/v1/auth/oidc                                     200  200  200  200  200  200  200  200   200  200
POST    /api/v1/auth/oidc/{provider}/start                    200  200  200  200  200  200  200  200   200  200
POST    /api/v1/auth/oidc/{provider}/finish                   200  200  200  200  200  200  200  403   200  200
POST    /api/v1/auth/oidc/link                                400  200  200  200  200  200  200  400   200  200
POST    /api/v1/auth/identities/{provider}/start              401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/identities/{provider}/finish             401  200  200  200  200  200  200  401   200  200
GET     /api/v1/auth/identities                               401  200  200  200  200  200  200  401   200  200
DELETE  /api/v1/auth/identities/{identity_id}                 401  204  404  404  404  404  404  401   204  404
GET     /api/v1/auth/me                                       401  200  200  200  200  200  200  401   200  200
PATCH   /api/v1/auth/me                                       401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/me/close                                 401  409  409  409  409  409  409  401   409  409
GET     /api/v1/auth/sessions                                 401  200  200  200  200  200  200  401   200  200
DELETE  /api/v1/auth/sessions                                 401  204  204  204  204  204  204  401   204  204
DELETE  /api/v1/auth/sessions/{session_id}                    401  204  404  404  404  404  404  401   204  404
GET     /api/v1/auth/tokens                                   401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/tokens                                   401  200  200  200  200  200  200  401   200  200
POST    /api/v1/auth/tokens tenant_id={tenant_id}             401  200  200  200  200  404  404  401   200  200
GET     /api/v1/auth/tokens/{token_id}                        401  200  404  404  404  404  404  401   200  404
PATCH   /api/v1/auth/tokens/{token_id}                        401  200  404  404  404  404  404  401   200  404
DELETE  /api/v1/auth/tokens/{token_id}                        401  204  404  404  404  404  404  401   204  404

GET     /api/v1/tenants                                       401  200  200  200  200  200  200  401   200  200
POST    /api/v1/tenants                                       401  200  200  200  200  200  200  401   200  200
GET     /api/v1/tenants/{tenant_id}                           401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/tenants/{tenant_id}                           401  200  200  403  403  404  404  401   409  403
DELETE  /api/v1/tenants/{tenant_id}                           401  200  403  403  403  404  404  401   409  403
GET     /api/v1/tenants/{tenant_id}/usage                     401  200  200  200  200  404  404  401   200  200
GET     /api/v1/tenants/{tenant_id}/agent-activity            401  200  200  200  200  404  404  401   200  200
GET     /api/v1/tenants/{tenant_id}/usage-log                 401  200  200  200  200  404  404  401   200  200
GET     /api/v1/tenants/{tenant_id}/refusals                  401  200  200  403  403  404  404  401   200  403
GET     /api/v1/tenants/{tenant_id}/notices                   401  200  200  200  200  404  404  401   200  200
GET     /api/v1/tenants/{tenant_id}/audit                     401  200  200  403  403  404  404  401   200  403
GET     /api/v1/tenants/{tenant_id}/limits                    401  200  200  200  200  404  404  401   200  200
GET     /api/v1/tenants/{tenant_id}/members                   401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/tenants/{tenant_id}/members/{user_id}         401  200  200  403  403  404  404  401   409  403
DELETE  /api/v1/tenants/{tenant_id}/members/{user_id}         401  200  200  200  403  404  404  401   409  200
GET     /api/v1/tenants/{tenant_id}/invitations               401  200  200  403  403  404  404  401   200  403
POST    /api/v1/tenants/{tenant_id}/invitations               401  200  200  403  403  404  404  401   409  403
GET     /api/v1/tenants/{tenant_id}/invitations/{invitation_id} 401 200 200  403  403  404  404  401   200  403
DELETE  /api/v1/tenants/{tenant_id}/invitations/{invitation_id} 401 200 200  403  403  404  404  401   409  403
POST    /api/v1/invitations/show                              200  200  200  200  200  200  200  200   200  200
POST    /api/v1/invitations/accept                            401  409  409  409  409  200  200  401   409  409
PUT     /api/v1/tenants/{tenant_id}/ownership-offer           401  200  403  403  403  404  404  401   409  403
DELETE  /api/v1/tenants/{tenant_id}/ownership-offer           401  200  403  200  403  404  404  401   409  200
POST    /api/v1/tenants/{tenant_id}/ownership-offer/accept    401  409  409  200  409  404  404  401   409  409

GET     /api/v1/agents                                        401  200  200  200  200  200  200  401   200  200
POST    /api/v1/agents                                        401  200  200  200  200  200  200  401   409  200
POST    /api/v1/agents tenant_id={tenant_id}                  401  200  200  200  403  404  404  401   409  409
GET     /api/v1/agents/{agent_id}                             401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/agents/{agent_id}                             401  200  200  200  403  404  404  401   409  409
PATCH   /api/v1/agents/{agent_id}                             401  200  200  200  403  404  404  401   409  409
DELETE  /api/v1/agents/{agent_id}                             401  204  204  204  403  404  404  401   409  409
GET     /api/v1/agents/{agent_id}/usage                       401  200  200  200  200  404  404  401   200  200

POST    /api/v1/agents/import                                 401  200  200  200  200  200  200  401   409  200
POST    /api/v1/agents/import?tenant_id={tenant_id}           401  200  200  200  403  404  404  401   409  409
POST    /api/v1/agents/{agent_id}/duplicate                   401  200  200  200  403  404  404  401   409  409
GET     /api/v1/agents/{agent_id}/export                      401  200  200  200  200  404  404  401   200  200

GET     /api/v1/agents/{agent_id}/config                      401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/agents/{agent_id}/config                      401  200  200  200  403  404  404  401   409  409
GET     /api/v1/agents/{agent_id}/config/effective            401  200  200  200  200  404  404  401   200  200
GET     /api/v1/agents/{agent_id}/config/effective?explain=1  401  200  200  200  200  404  404  401   200  200
GET     /api/v1/agents/{agent_id}/config/versions             401  200  200  200  200  404  404  401   200  200
GET     /api/v1/agents/{agent_id}/config/versions/{number}    401  200  200  200  200  404  404  401   200  200
GET     /api/v1/agents/{agent_id}/config/diff?from=1&to=2     401  200  200  200  200  404  404  401   200  200
POST    /api/v1/agents/{agent_id}/config/restore              401  200  200  200  403  404  404  401   409  409

GET     /api/v1/agents/{agent_id}/api_keys                    401  200  200  200  200  404  404  401   200  200
POST    /api/v1/agents/{agent_id}/api_keys                    401  200  200  403  403  404  404  401   409  403
GET     /api/v1/agents/{agent_id}/api_keys/{key_id}           401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/agents/{agent_id}/api_keys/{key_id}           401  200  200  403  403  404  404  401   409  403
PATCH   /api/v1/agents/{agent_id}/api_keys/{key_id}           401  200  200  403  403  404  404  401   409  403
DELETE  /api/v1/agents/{agent_id}/api_keys/{key_id}           401  204  204  403  403  404  404  401   409  403
POST    /api/v1/agents/{agent_id}/api_keys/{key_id}/rotate    401  200  200  403  403  404  404  401   409  403
GET     /api/v1/agents/{agent_id}/api_keys/{key_id}/usage     401  200  200  200  200  404  404  401   200  200

GET     /api/v1/api-keys?tenant_id={tenant_id}                401  200  200  200  200  404  404  401   200  200
POST    /api/v1/api-keys                                      401  200  200  403  403  404  404  401   409  403
POST    /api/v1/api-keys tenant_id={own_tenant_id}            401  200  404  403  403  404  404  401   409  403
POST    /api/v1/api-keys/search                               401  200  200  200  200  404  404  401   200  200
POST    /api/v1/api-keys/report-leaked                        401  200  200  200  200  200  200  401   200  200
POST    /api/v1/api-keys/disable                              401  200  200  200  200  200  200  401   200  200
POST    /api/v1/api-keys/enable                               401  200  200  200  200  200  200  401   200  200
GET     /api/v1/api-keys/{key_id}                             401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/api-keys/{key_id}                             401  200  200  403  403  404  404  401   409  403
DELETE  /api/v1/api-keys/{key_id}                             401  200  200  403  403  404  404  401   409  403
POST    /api/v1/api-keys/{key_id}/disable                     401  200  200  403  403  404  404  401   409  403
POST    /api/v1/api-keys/{key_id}/enable                      401  200  200  403  403  404  404  401   409  403
POST    /api/v1/api-keys/{key_id}/rotate                      401  200  200  403  403  404  404  401   409  403
GET     /api/v1/api-keys/{key_id}/usage                       401  200  200  200  200  404  404  401   200  200

GET     /api/v1/search?q=agent                                401  200  200  200  200  200  200  401   200  200
GET     /api/v1/search?q=agent&tenant_id={tenant_id}          401  200  200  200  200  404  404  401   200  200
POST    /api/v1/search                                        401  200  200  200  200  200  200  401   200  200

GET     /api/v1/templates                                     401  200  200  200  200  200  200  401   200  200
GET     /api/v1/templates?tenant_id={tenant_id}               401  200  200  200  200  200  200  401   200  200
POST    /api/v1/templates                                     401  200  200  200  200  200  200  401   409  200
POST    /api/v1/templates tenant_id={tenant_id}               401  200  200  200  403  404  404  401   409  409
GET     /api/v1/templates/{template_id}                       401  200  200  200  200  404  404  401   200  200
PUT     /api/v1/templates/{template_id}                       401  200  200  200  403  404  404  401   409  409
PUT     /api/v1/templates/{template_id}?dry_run=1             401  200  200  200  403  404  404  401   409  409
DELETE  /api/v1/templates/{template_id}                       401  200  200  200  403  404  404  401   409  409
DELETE  /api/v1/templates/{template_id}?dry_run=1             401  200  200  200  403  404  404  401   409  409

GET     /api/v1/plugins/settings                              401  200  200  200  200  200  200  401   200  200
GET     /api/v1/plugins/settings?agent_id={agent_id}          401  200  200  200  200  404  404  401   200  200
GET     /api/v1/plugins/settings?tenant_id={tenant_id}        401  200  200  200  200  404  404  401   200  200
POST    /api/v1/plugins/settings                              401  200  200  200  200  200  200  401   409  200
POST    /api/v1/plugins/settings?agent_id={agent_id}          401  200  200  200  403  404  404  401   409  409
POST    /api/v1/plugins/settings?tenant_id={tenant_id}        401  200  200  403  403  404  404  401   409  403

GET     /api/v1/system/models                                 401  200  200  200  200  200  200  401   200  200
GET     /api/v1/system/bot-defaults                           401  200  200  200  200  200  200  401   200  200
GET     /api/v1/system/config-schema                          401  200  200  200  200  200  200  401   200  200
"""

# What personal access tokens of Alice's reach: one that may read, one that may write, and one that may write in another
# tenant of hers alone. They are refused with 403 at every other request that needs a sign-in.
TOKENS = """
                                                              read write other
GET     /api/v1/auth/me                                       200  200   200

GET     /api/v1/tenants                                       200  200   200
POST    /api/v1/tenants                                       403  200   403
GET     /api/v1/tenants/{tenant_id}                           200  200   404
PUT     /api/v1/tenants/{tenant_id}                           403  200   404
DELETE  /api/v1/tenants/{tenant_id}                           403  200   404
GET     /api/v1/tenants/{tenant_id}/usage                     200  200   404
GET     /api/v1/tenants/{tenant_id}/agent-activity            200  200   404
GET     /api/v1/tenants/{tenant_id}/usage-log                 200  200   404
GET     /api/v1/tenants/{tenant_id}/refusals                  200  200   404
GET     /api/v1/tenants/{tenant_id}/notices                   200  200   404
GET     /api/v1/tenants/{tenant_id}/audit                     200  200   404
GET     /api/v1/tenants/{tenant_id}/limits                    200  200   404
GET     /api/v1/tenants/{tenant_id}/members                   200  200   404
PUT     /api/v1/tenants/{tenant_id}/members/{user_id}         403  200   404
DELETE  /api/v1/tenants/{tenant_id}/members/{user_id}         403  200   404
GET     /api/v1/tenants/{tenant_id}/invitations               200  200   404
POST    /api/v1/tenants/{tenant_id}/invitations               403  200   404
GET     /api/v1/tenants/{tenant_id}/invitations/{invitation_id} 200 200  404
DELETE  /api/v1/tenants/{tenant_id}/invitations/{invitation_id} 403 200  404

GET     /api/v1/agents                                        200  200   200
POST    /api/v1/agents                                        403  200   200
POST    /api/v1/agents tenant_id={tenant_id}                  403  200   404
GET     /api/v1/agents/{agent_id}                             200  200   404
PUT     /api/v1/agents/{agent_id}                             403  200   404
PATCH   /api/v1/agents/{agent_id}                             403  200   404
DELETE  /api/v1/agents/{agent_id}                             403  204   404
GET     /api/v1/agents/{agent_id}/usage                       200  200   404

POST    /api/v1/agents/import                                 403  200   200
POST    /api/v1/agents/import?tenant_id={tenant_id}           403  200   404
POST    /api/v1/agents/{agent_id}/duplicate                   403  200   404
GET     /api/v1/agents/{agent_id}/export                      200  200   404

GET     /api/v1/agents/{agent_id}/config                      200  200   404
PUT     /api/v1/agents/{agent_id}/config                      403  200   404
GET     /api/v1/agents/{agent_id}/config/effective            200  200   404
GET     /api/v1/agents/{agent_id}/config/effective?explain=1  200  200   404
GET     /api/v1/agents/{agent_id}/config/versions             200  200   404
GET     /api/v1/agents/{agent_id}/config/versions/{number}    200  200   404
GET     /api/v1/agents/{agent_id}/config/diff?from=1&to=2     200  200   404
POST    /api/v1/agents/{agent_id}/config/restore              403  200   404

GET     /api/v1/agents/{agent_id}/api_keys                    200  200   404
POST    /api/v1/agents/{agent_id}/api_keys                    403  200   404
GET     /api/v1/agents/{agent_id}/api_keys/{key_id}           200  200   404
PUT     /api/v1/agents/{agent_id}/api_keys/{key_id}           403  200   404
PATCH   /api/v1/agents/{agent_id}/api_keys/{key_id}           403  200   404
DELETE  /api/v1/agents/{agent_id}/api_keys/{key_id}           403  204   404
POST    /api/v1/agents/{agent_id}/api_keys/{key_id}/rotate    403  200   404
GET     /api/v1/agents/{agent_id}/api_keys/{key_id}/usage     200  200   404

GET     /api/v1/api-keys?tenant_id={tenant_id}                200  200   404
POST    /api/v1/api-keys                                      403  200   404
POST    /api/v1/api-keys tenant_id={own_tenant_id}            403  200   404
POST    /api/v1/api-keys/search                               200  200   404
POST    /api/v1/api-keys/report-leaked                        403  200   200
POST    /api/v1/api-keys/disable                              403  200   200
POST    /api/v1/api-keys/enable                               403  200   200
GET     /api/v1/api-keys/{key_id}                             200  200   404
PUT     /api/v1/api-keys/{key_id}                             403  200   404
DELETE  /api/v1/api-keys/{key_id}                             403  200   404
POST    /api/v1/api-keys/{key_id}/disable                     403  200   404
POST    /api/v1/api-keys/{key_id}/enable                      403  200   404
POST    /api/v1/api-keys/{key_id}/rotate                      403  200   404
GET     /api/v1/api-keys/{key_id}/usage                       200  200   404

GET     /api/v1/search?q=agent                                200  200   200
GET     /api/v1/search?q=agent&tenant_id={tenant_id}          200  200   404
POST    /api/v1/search                                        200  200   200

GET     /api/v1/templates                                     200  200   200
GET     /api/v1/templates?tenant_id={tenant_id}               200  200   200
POST    /api/v1/templates                                     403  200   200
POST    /api/v1/templates tenant_id={tenant_id}               403  200   404
GET     /api/v1/templates/{template_id}                       200  200   404
PUT     /api/v1/templates/{template_id}                       403  200   404
PUT     /api/v1/templates/{template_id}?dry_run=1             403  200   404
DELETE  /api/v1/templates/{template_id}                       403  200   404
DELETE  /api/v1/templates/{template_id}?dry_run=1             403  200   404

GET     /api/v1/plugins/settings                              200  200   200
GET     /api/v1/plugins/settings?agent_id={agent_id}          200  200   404
GET     /api/v1/plugins/settings?tenant_id={tenant_id}        200  200   404
POST    /api/v1/plugins/settings                              403  200   200
POST    /api/v1/plugins/settings?agent_id={agent_id}          403  200   404
POST    /api/v1/plugins/settings?tenant_id={tenant_id}        403  200   404

GET     /api/v1/system/models                                 200  200   200
GET     /api/v1/system/bot-defaults                           200  200   200
GET     /api/v1/system/config-schema                          200  200   200
"""

# The internal surface has no users: everybody who reaches the port gets the same response, with or without a token.
INTERNAL = """
                                                               anybody
GET     /                                                          200
GET     /health                                                    200
GET     /ready                                                     200
GET     /info                                                      200
GET     /metrics                                                   200
GET     /openapi.json                                              200
GET     /docs                                                      200
GET     /redoc                                                     200
GET     /favicon.ico                                               200

GET     /api/v2/tenants                                            200
POST    /api/v2/tenants                                            200
GET     /api/v2/tenants/{tenant_id}                                200
PUT     /api/v2/tenants/{tenant_id}                                200
DELETE  /api/v2/tenants/{tenant_id}                                200
GET     /api/v2/tenants/{tenant_id}/usage                          200

GET     /api/v2/agents?tenant_id={tenant_id}                       200
POST    /api/v2/agents                                             200
GET     /api/v2/agents/{agent_id}                                  200
PUT     /api/v2/agents/{agent_id}                                  200
DELETE  /api/v2/agents/{agent_id}                                  200
GET     /api/v2/agents/{agent_id}/config                           200
PUT     /api/v2/agents/{agent_id}/config                           200
GET     /api/v2/agents/{agent_id}/config/effective                 200
GET     /api/v2/agents/{agent_id}/config/versions                  200
GET     /api/v2/agents/{agent_id}/config/versions/{number}         200
GET     /api/v2/agents/{agent_id}/config/diff?from=1&to=2          200
POST    /api/v2/agents/{agent_id}/config/restore                   200
GET     /api/v2/agents/{agent_id}/usage                            200
POST    /api/v2/agents/import?tenant_id={tenant_id}                200
POST    /api/v2/agents/{agent_id}/duplicate                        200
GET     /api/v2/agents/{agent_id}/export                           200

GET     /api/v2/api-keys?tenant_id={tenant_id}                     200
POST    /api/v2/api-keys                                           200
POST    /api/v2/api-keys/search                                    200
POST    /api/v2/api-keys/disable                                   200
POST    /api/v2/api-keys/enable                                    200
GET     /api/v2/api-keys/{key_id}                                  200
PUT     /api/v2/api-keys/{key_id}                                  200
DELETE  /api/v2/api-keys/{key_id}                                  200
POST    /api/v2/api-keys/{key_id}/disable                          200
POST    /api/v2/api-keys/{key_id}/enable                           200
POST    /api/v2/api-keys/{key_id}/rotate                           200
GET     /api/v2/api-keys/{key_id}/usage                            200

POST    /api/v2/auth/parse-api-key                                 200
POST    /api/v2/auth/validate-api-key                              200
POST    /api/v2/auth/validate-api-keys                             200
POST    /api/v2/auth/check-permission                              200
POST    /api/v2/auth/report-leaked-key                             200

GET     /api/v2/agent-activity                                     200
PUT     /api/v2/agent-activity                                     200
GET     /api/v2/config-changes                                     200
GET     /api/v2/templates                                          200
POST    /api/v2/templates                                          200
GET     /api/v2/templates/{template_id}                            200
PUT     /api/v2/templates/{template_id}                            200
DELETE  /api/v2/templates/{template_id}                            200

GET     /api/v2/system/models                                      200
GET     /api/v2/system/bot-defaults                                200
GET     /api/v2/system/config-schema                               200
GET     /api/v1/plugins/settings?tenant_id={tenant_id}             200
POST    /api/v1/plugins/settings?tenant_id={tenant_id}             200
POST    /api/v1/usage/log                                          200
"""
# fmt: on

# Bodies with which the owner's request succeeds. Those of other routes are empty.
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/auth/register": {"username": "dora", "password": "password123"},
    "POST /api/v1/auth/login": {"username": "{username}", "password": "password123"},
    "POST /api/v1/auth/mfa": {"challenge": "{challenge}", "method": "recovery_code", "code": "{code}"},
    "POST /api/v1/auth/factors/totp": {"password": "password123"},
    "POST /api/v1/auth/factors/totp/confirm": {"code": "{code}"},
    "POST /api/v1/auth/factors/totp/remove": {"password": "password123"},
    "POST /api/v1/auth/passkey": {"challenge": "{challenge}", "credential": "{credential}"},
    "POST /api/v1/auth/factors/passkeys": {"password": "password123"},
    "POST /api/v1/auth/factors/passkeys/confirm": {
        "challenge": "{challenge}",
        "credential": "{credential}",
        "name": "laptop",
    },
    "PATCH /api/v1/auth/factors/passkeys/{passkey_id}": {"name": "phone"},
    "POST /api/v1/auth/factors/passkeys/{passkey_id}/remove": {"password": "password123"},
    "POST /api/v1/auth/factors/recovery-codes": {"password": "password123"},
    "POST /api/v1/auth/refresh": {"refresh_token": "{refresh_token}"},
    "POST /api/v1/auth/logout": {"refresh_token": "{refresh_token}"},
    "POST /api/v1/auth/password": {"old_password": "password123", "new_password": "another password"},
    "POST /api/v1/auth/password/forgot": {"email": "dora@example.com"},
    "POST /api/v1/auth/password/reset": {"token": "{reset_token}", "new_password": "another password"},
    "POST /api/v1/auth/email/verify": {"token": "{verify_token}"},
    "POST /api/v1/auth/oidc/{provider}/start": {"redirect_uri": "{redirect_uri}"},
    "POST /api/v1/auth/oidc/{provider}/finish": {"flow": "{flow}", "code": "{code}", "state": "{state}"},
    "POST /api/v1/auth/identities/{provider}/start": {"redirect_uri": "{redirect_uri}", "password": "password123"},
    "POST /api/v1/auth/identities/{provider}/finish": {"flow": "{flow}", "code": "{code}", "state": "{state}"},
    "POST /api/v1/auth/oidc/link": {"challenge": "{challenge}", "password": "password123"},
    "POST /api/v1/auth/tokens": {"name": "script", "scope": "write", "password": "password123"},
    "PATCH /api/v1/auth/tokens/{token_id}": {"name": "another"},
    "PATCH /api/v1/auth/me": {"email": "new@example.com"},
    "POST /api/v1/auth/me/close": {"password": "password123"},
    "POST /api/v1/tenants": {"tenant_name": "Another", "tenant_type": "enterprise"},
    "PUT /api/v1/tenants/{tenant_id}": {"description": "changed"},
    "PUT /api/v1/tenants/{tenant_id}/members/{user_id}": {"role": "viewer"},
    "PUT /api/v1/tenants/{tenant_id}/ownership-offer": {"user_id": "{user_id}"},
    "POST /api/v1/tenants/{tenant_id}/invitations": {"email": "dora@example.com", "role": "member"},
    "POST /api/v1/invitations/show": {"token": "{invitation_token}"},
    "POST /api/v1/invitations/accept": {"token": "{invitation_token}"},
    "POST /api/v1/agents": {"name": "another"},
    "PUT /api/v1/agents/{agent_id}": {"description": "changed"},
    "PATCH /api/v1/agents/{agent_id}": {"description": "changed"},
    "POST /api/v1/agents/import": {"maim_export": 1, "name": "another"},
    "POST /api/v1/agents/{agent_id}/duplicate": {"name": "another"},
    "PUT /api/v1/agents/{agent_id}/config": {"persona": "changed"},
    "POST /api/v1/agents/{agent_id}/config/restore": {"version": 1},
    "POST /api/v1/agents/{agent_id}/api_keys": {"name": "another"},
    "PUT /api/v1/agents/{agent_id}/api_keys/{key_id}": {"description": "changed"},
    "PATCH /api/v1/agents/{agent_id}/api_keys/{key_id}": {"description": "changed"},
    "POST /api/v1/agents/{agent_id}/api_keys/{key_id}/rotate": {"grace_seconds": 60},
    "POST /api/v1/api-keys": {"tenant_id": "{tenant_id}", "agent_id": "{agent_id}", "name": "another"},
    "POST /api/v1/api-keys/search": {"api_key": "{api_key}"},
    "POST /api/v1/api-keys/report-leaked": {"api_key": "{api_key}", "where": "a public repository"},
    "POST /api/v1/api-keys/disable": {"api_key_ids": ["{key_id}"]},
    "POST /api/v1/api-keys/enable": {"api_key_ids": ["{key_id}"]},
    "PUT /api/v1/api-keys/{key_id}": {"description": "changed"},
    "POST /api/v1/api-keys/{key_id}/rotate": {"grace_seconds": 60},
    "POST /api/v1/search": {"q": "{api_key}"},
    "POST /api/v1/templates": {"name": "another"},
    "PUT /api/v1/templates/{template_id}": {"config": {"persona": "changed"}},
    "POST /api/v1/plugins/settings": {"plugin_name": "weather", "enabled": True},
    "POST /api/v2/tenants": {"tenant_name": "Another", "tenant_type": "enterprise"},
    "PUT /api/v2/tenants/{tenant_id}": {"description": "changed"},
    "POST /api/v2/agents": {"tenant_id": "{tenant_id}", "name": "another"},
    "PUT /api/v2/agents/{agent_id}": {"description": "changed"},
    "POST /api/v2/agents/import": {"maim_export": 1, "name": "another"},
    "POST /api/v2/agents/{agent_id}/duplicate": {"name": "another"},
    "PUT /api/v2/agents/{agent_id}/config": {"persona": "changed"},
    "POST /api/v2/agents/{agent_id}/config/restore": {"version": 1},
    "POST /api/v2/api-keys": {"tenant_id": "{tenant_id}", "agent_id": "{agent_id}", "name": "another"},
    "POST /api/v2/api-keys/search": {"api_key": "{api_key}"},
    "POST /api/v2/api-keys/disable": {"api_key_ids": ["{key_id}"]},
    "POST /api/v2/api-keys/enable": {"api_key_ids": ["{key_id}"]},
    "PUT /api/v2/api-keys/{key_id}": {"description": "changed"},
    "POST /api/v2/api-keys/{key_id}/rotate": {"grace_seconds": 60},
    "POST /api/v2/auth/parse-api-key": {"api_key": "{api_key}"},
    "POST /api/v2/auth/validate-api-key": {"api_key": "{api_key}"},
    "POST /api/v2/auth/validate-api-keys": {"items": [{"api_key": "{api_key}"}]},
    "POST /api/v2/auth/check-permission": {"api_key": "{api_key}", "permission": "chat"},
    "POST /api/v2/auth/report-leaked-key": {"api_key": "{api_key}", "where": "a public repository"},
    "POST /api/v2/templates": {"tenant_id": "{tenant_id}", "name": "another"},
    "PUT /api/v2/templates/{template_id}": {"config": {"persona": "changed"}},
    "PUT /api/v2/agent-activity": {"tenant_id": "{tenant_id}", "agent_id": "{agent_id}", "ttl_seconds": 60},
    "POST /api/v1/usage/log": {"action": "chat"},
}
