"""The settings about sign-in by OpenID Connect."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from maim.environment import InvalidEnvironment, load
from maim.oidc_providers import parse_oidc_providers

pytestmark = pytest.mark.embedded
SECRET = "not-to-be-printed"
PROVIDER = {
    "id": "acme",
    "name": "ACME",
    "discovery_url": "https://login.example.com/acme/.well-known/openid-configuration",
    "client_id": "maim",
    "client_secret": SECRET,
}


def parse(*changes: dict[str, Any]) -> Any:
    providers = [{key: value for key, value in {**PROVIDER, **each}.items() if value is not None} for each in changes]
    return parse_oidc_providers(json.dumps(providers))


def test_provider_has_defaults() -> None:
    (provider,) = parse({})

    assert provider.issuer == "https://login.example.com/acme"
    assert provider.scopes == ("openid", "email", "profile")
    assert (provider.role_claim, provider.operator_values, provider.superuser_values) == (None, set(), set())


def test_provider_does_not_show_its_secret() -> None:
    assert SECRET not in repr(parse({}))


def test_several_providers_are_kept_in_order() -> None:
    roles = {"role_claim": "groups", "operator_values": ["ops"], "superuser_values": ["root"]}

    first, second = parse({}, {"id": "other", "client_secret": None, "scopes": ["openid"], **roles})

    assert (first.id, second.id, second.client_secret) == ("acme", "other", None)
    assert second.operator_values == {"ops"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([{"client_id": None}], "provider 1: client_id: is missing"),
        ([{}, {"id": "b", "name": ""}], "provider 2: name: must not be empty"),
        ([{"id": "ACME"}], "provider 1: id: must be of small letters"),
        ([{"id": "a/b"}], "provider 1: id: must be of small letters"),
        ([{"client_secret": 7}], "provider 1: client_secret: must be a text"),
        ([{"cleint_id": "x"}], "provider 1: cleint_id: is not known"),
        ([{"scopes": ["email"]}], "provider 1: scopes: must have openid"),
        ([{"scopes": "openid"}], "provider 1: scopes: must be a list"),
        ([{"discovery_url": "http://login.example.com/.well-known/openid-configuration"}], "must be an https:// URL"),
        ([{"discovery_url": "https://login.example.com/"}], "must be an https:// URL that ends in"),
        ([{"discovery_url": "https:///.well-known/openid-configuration"}], "must be an https:// URL"),
        ([{"discovery_url": "https://[/.well-known/openid-configuration"}], "must be an https:// URL"),
        ([{}, {}], "'acme' is given twice"),
        (
            [{"role_claim": "groups"}],
            "acme: role_claim, and operator_values, support_values or superuser_values, need one another",
        ),
        ([{"operator_values": ["ops"]}], "need one another"),
        ([], "must name a provider"),
    ],
    ids=str,
)
def test_mistake_is_named_without_the_secret(changes: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as raised:
        parse(*changes)

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "{}", "7", '"x"', "[7]", "[null]", f'["{SECRET}"]', f"{SECRET}"])
def test_text_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be") as raised:
        parse_oidc_providers(text)

    assert SECRET not in str(raised.value)


def test_providers_come_from_a_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    path = tmp_path / "providers.json"
    path.write_text(json.dumps([PROVIDER]))
    monkeypatch.setenv("MAIM_OIDC_PROVIDERS_FILE", str(path))

    environment = load()

    assert list(environment.oidc_providers) == ["acme"]
    assert SECRET not in repr(environment)


def test_passwords_cannot_be_switched_off_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIM_PASSWORD_LOGIN", "off")

    with pytest.raises(InvalidEnvironment, match="MAIM_PASSWORD_LOGIN: off needs MAIM_OIDC_PROVIDERS"):
        load()
