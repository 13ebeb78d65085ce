"""Requests that Schemathesis makes from the OpenAPI documents, with valid and invalid data.

It checks the responses: no server error, no undeclared status, media type, header or shape, no success for what
breaks the document, no error for what fits it, no access without a token. It is deterministic, so that a failure is a
change in the code or in the document.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import Any

import hypothesis
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import positive_data_acceptance
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi import from_dict

from core import strict_json
from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from core.text import name_error
from tests.support.server import MaimServer

# Operations that may refuse valid data with 400, by a rule that no schema can express.
REFUSED_BY_RULE = {
    "postAuthRegister": "names and addresses are taken once, and passwords must not be weak",
    "postAuthLogin": "credentials must be right",
    "postAuthPassword": "the old password must be right",
    "postAuthMfa": "a code must be right",
    "postAuthFactorsTotp": "the password must be right",
    "postAuthTokens": "as postAuthFactorsTotp, and a time is given once",
    "postAuthMeClose": "the password must be right",
    "postAuthFactorsTotpConfirm": "as postAuthMfa",
    "postAuthFactorsTotpRemove": "as postAuthFactorsTotp",
    "postAuthFactorsRecoveryCodes": "as postAuthFactorsTotp",
    "postAuthFactorsPasskeys": "as postAuthFactorsTotp",
    "postAuthFactorsPasskeysConfirm": "a browser must have made the credential",
    "postAuthFactorsPasskeyRemove": "as postAuthFactorsTotp",
    "postAuthPasskey": "as postAuthFactorsPasskeysConfirm",
    "postAuthPasswordForgot": "as patchAuthMe",
    "postAuthPasswordReset": "a token must have been sent",
    "postAuthEmailVerify": "as postAuthPasswordReset",
    "postAuthOidcLink": "a challenge must have been given out",
    "patchAuthMe": "an e-mail address must be one",
    "postApiKeysReportLeaked": "a key must decode to one",
    "getSearch": "a text must have more than blanks",
    "postTenants": "an owner must exist",
    "postTenantInvitations": "an e-mail address must be one, of nobody who is a member",
    "postInvitationsShow": "a token must have been given out",
    "postInvitationsAccept": "as postInvitationsShow",
    "postTemplates": "a template has a tenant or a chosen id, and not both",
    "getConfigChanges": "a cursor must have been given out",
    "postAgentsImport": "no plugin may be set twice, and a text must be a TOML file",
    "getAgentApiKeys": "times lie between 1970 and 9999",
    "getApiKeys": "as getAgentApiKeys",
    "getAgentUsage": "days go from 1970 on, the first before the last",
    "getAgentApiKeyUsage": "as getAgentUsage",
    "getApiKeyUsage": "as getAgentUsage",
    "getTenantUsage": "as getAgentUsage",
    "getTenantAudit": "as getAgentApiKeys",
    "getTenantRefusals": "as getAgentApiKeys",
    "getTenantNotices": "as getAgentApiKeys",
    "getTenantUsageLog": "as getAgentApiKeys",
}
# Fields with such a rule: a time between 1970 and 9999, a network without host bits, an address, an expression.
NAMES = ("name", "tenant_name", "plugin_name", "username", "email")
RULED = {"expires_at", "timestamp", "allowed_networks", "client_ip", "required_permission"}


def _schema(surface: Surface) -> schemathesis.BaseSchema:
    settings = {
        "generation": {"deterministic": True, "no-shrink": True, "allow-x00": False, "with-security-parameters": False},
        # Methods that a path does not have are all tried in tests/test_bad_input.py.
        "phases": {"coverage": {"unexpected-methods": []}},
    }
    return from_dict(document(surface), config=SchemathesisConfig.from_dict(settings))


public, internal = _schema(PUBLIC), _schema(INTERNAL)
bounded = hypothesis.settings(
    max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)


def is_acceptable(body: Any) -> bool:
    """Return whether a body that fits its schema keeps the rules for all JSON bodies."""
    parts = (body, *_items(body)) if isinstance(body, dict) else ()
    if any(RULED & part.keys() or any(_is_no_name(part.get(name)) for name in NAMES) for part in parts):
        return False
    try:
        strict_json.loads(json.dumps(body).encode())
    except (strict_json.NotAcceptable, TypeError):
        return False
    return True


def _is_no_name(value: Any) -> bool:
    return isinstance(value, str) and name_error(value) is not None


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a body with several ones."""
    items = body.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


CREDENTIALS = {"username": "schemathesis", "password": "password123"}
_CONFIRMED = {"password": CREDENTIALS["password"]}


class RequestObjects:
    """A person, and objects for their requests.

    Of the dozens of cases that cover an operation's schema, one in `one_in` is sent.
    """

    def __init__(self, server: MaimServer, session: requests.Session, *, one_in: int) -> None:
        self._url = server.public
        self._one_in = one_in
        self._covered: dict[str, itertools.count[int]] = defaultdict(itertools.count)
        self._numbers = itertools.count(1)
        self.session = session
        self.headers: dict[str, str] = {}
        self._created("auth/register", **CREDENTIALS)
        self.headers = self._sign_in()
        self.ids = self.make()

    def make(self) -> dict[str, Any]:
        """Create a tenant, agent, key, template and session, and return their ids by the names in the documents.

        `number`, `version`, `from` and `to` are the one version of the agent's config.
        """
        name = f"thing {next(self._numbers)}"
        tenant = self._created("tenants", tenant_name=name, tenant_type="enterprise")["data"]["id"]
        agent = self._created("agents", tenant_id=tenant, name=name)["id"]
        key = self._created(f"agents/{agent}/api_keys", name=name)
        template = self._created("templates", tenant_id=tenant, name=name)["id"]
        ids = {"tenant_id": tenant, "agent_id": agent, "key_id": key["id"], "template_id": template}
        self._sign_in()
        newest = self.session.get(f"{self._url}/api/v1/auth/sessions?limit=1", headers=self.headers).json()
        ids["session_id"] = newest[0]["id"]
        for former in self.session.get(f"{self._url}/api/v1/auth/tokens", headers=self.headers).json():
            self.session.delete(f"{self._url}/api/v1/auth/tokens/{former['id']}", headers=self.headers)
        ids["token_id"] = self._created("auth/tokens", name=name, scope="read", **_CONFIRMED)["id"]
        return {**ids, "api_key": key["api_key"], **dict.fromkeys(("number", "version", "from", "to"), 1)}

    def _sign_in(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._created('auth/login', **CREDENTIALS)['access_token']}"}

    def _created(self, path: str, **body: Any) -> Any:
        response = self.session.post(f"{self._url}/api/v1/{path}", json=body, headers=self.headers)
        response.raise_for_status()
        return response.json()

    def aim(self, case: Case[Any]) -> None:
        """Replace invented ids by those of existing objects, unless the case is meant to be invalid."""
        assert case.meta is not None
        ids = self.make() if case.method == "DELETE" else self.ids
        parts = {
            ParameterLocation.PATH: case.path_parameters,
            ParameterLocation.QUERY: case.query,
            ParameterLocation.BODY: case.body,
        }
        for location, values in parts.items():
            component = case.meta.components.get(location)
            if component is not None and component.mode.is_positive and isinstance(values, dict):
                # A body may name any template but another tenant's.
                named = values.keys() - ({"template_id"} if location == ParameterLocation.BODY else set())
                values.update({name: ids[name] for name in ids if name in named})

    def check(self, case: Case[Any], base_url: str) -> None:
        """Send the request, unless it is left out, and run every check on the response."""
        if self._is_left_out(case):
            return
        self.aim(case)
        operation = case.operation.definition.raw
        by_rule = operation["operationId"] in REFUSED_BY_RULE or not is_acceptable(case.body)
        by_rule |= "If-Match" in (case.headers or {})  # which a made-up version does not
        by_rule |= "after" in (case.query or {})  # which goes with no page, skip or sort
        excluded = [positive_data_acceptance] if by_rule else []
        headers = self.headers if "security" in operation else None
        case.call_and_validate(base_url=base_url, session=self.session, headers=headers, excluded_checks=excluded)

    def _is_left_out(self, case: Case[Any]) -> bool:
        assert case.meta is not None
        covers = case.meta.phase.name == TestPhase.COVERAGE
        return covers and next(self._covered[case.operation.label]) % self._one_in != 0
