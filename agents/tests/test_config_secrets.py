"""Secrets of configs, which no API shows (docs/contract.md section 14)."""

from __future__ import annotations

import json

import pytest

from agents.models import Agent
from agents.tests.api import ConfigApi
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider, stored
from tests.support.people import Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


class TestSecrets:
    CONFIG = {
        "config_overrides": {
            "model": {"api_providers": [secret_provider()]},
            "maim_message": {"auth_token": ["tok-1", "tok-2"], "port": 5},
        }
    }
    MASKED = {
        "config_overrides": {
            "model": {"api_providers": [provider(base_url=MASK, api_key=MASK)]},
            "maim_message": {"auth_token": [MASK], "port": 5},
        }
    }
    SECRETS = (b"sk-mine", b"mine.example", b"tok-1")

    def test_secrets_read_back_as_masks(self, config_api: ConfigApi) -> None:
        assert config_api.create(self.CONFIG) == self.MASKED
        assert config_api.get() == self.MASKED
        assert config_api.put({"x": 1}) == {**self.MASKED, "x": 1}
        assert stored() == {**self.CONFIG, "x": 1}

    def test_no_response_of_any_surface_shows_secrets(
        self, config_api: ConfigApi, alice: Person, bob: Person, internal: SurfaceClient
    ) -> None:
        answers = [config_api.try_create(self.CONFIG)]
        config_api.agent_id = Agent.unscoped.get().id
        answers += [
            config_api.try_put(self.CONFIG),
            config_api.try_put({"config_overrides": {"model": {"models": 5}}}),
        ]
        answers += [
            person.client.get(path)
            for person in (alice, bob)
            for path in ("/api/v1/agents", f"/api/v1/agents/{config_api.agent_id}")
        ]
        answers += [
            internal.get(path)
            for path in (
                f"/api/v2/agents?tenant_id={alice.tenant.id}",
                f"/api/v2/agents/{config_api.agent_id}",
                f"/api/v2/agents/{config_api.agent_id}/config",
            )
        ]
        answers.append(internal.send("PUT", f"/api/v2/agents/{config_api.agent_id}", {"name": "renamed"}))

        for answer in answers:
            assert not any(secret in answer.content for secret in self.SECRETS), answer.content

    def test_audit_log_shows_no_secrets(self, config_api: ConfigApi) -> None:
        config_api.create(self.CONFIG)
        config_api.put(model(api_providers=[provider(api_key="sk-mine-too")]))

        rows = json.dumps(list(AuditEntry.objects.values("before", "after")))

        assert MASK in rows
        assert not any(secret.decode() in rows for secret in self.SECRETS)

    def test_the_audit_log_knows_that_a_secret_changed(self, config_api: ConfigApi) -> None:
        config_api.create(self.CONFIG)
        written = AuditEntry.objects.count()

        config_api.put(model(api_providers=[provider(api_key="sk-new")]))

        assert AuditEntry.objects.count() == written + 1

    def test_the_mask_keeps_what_is_stored(self, config_api: ConfigApi) -> None:
        config_api.create(self.CONFIG)

        config_api.put({"config_overrides": {"maim_message": {"auth_token": MASK, "port": 6}}})
        config_api.put(model(api_providers=[provider(base_url=MASK, api_key="sk-new")]))

        assert stored() == {
            "config_overrides": {
                "model": {"api_providers": [provider(base_url="https://mine.example", api_key="sk-new")]},
                "maim_message": {"auth_token": ["tok-1", "tok-2"], "port": 6},
            }
        }

    def test_the_mask_follows_the_name_and_not_the_place(self, config_api: ConfigApi) -> None:
        first, second = provider("a", api_key="sk-a"), provider("b", api_key="sk-b")
        config_api.create(model(api_providers=[first, second]))

        config_api.put(model(api_providers=[provider("b", api_key=MASK), provider("a", api_key=MASK)]))

        assert stored() == model(api_providers=[second, first])

    @pytest.mark.parametrize(
        ("sent", "path"),
        [
            (model(api_providers=[provider("new", api_key=MASK)]), "config_overrides.model.api_providers[0].api_key"),
            (
                model(api_providers=[provider(api_key="x", base_url=MASK)]),
                "config_overrides.model.api_providers[0].base_url",
            ),
            ({"config_overrides": {"maim_message": {"auth_token": MASK}}}, "config_overrides.maim_message.auth_token"),
        ],
    )
    def test_a_mask_where_nothing_is_stored_is_refused(self, config_api: ConfigApi, sent: Config, path: str) -> None:
        config_api.assert_invalid(config_api.try_create(sent), path)
        config_api.create(model(api_providers=[provider(api_key="sk-mine")]))
        config_api.assert_invalid(config_api.try_put(sent), path)
        assert stored() == model(api_providers=[provider(api_key="sk-mine")])

    @pytest.mark.parametrize("key", ["api_key", "base_url"])
    def test_a_secret_that_is_not_set_is_not_masked(self, config_api: ConfigApi, key: str) -> None:
        config = model(api_providers=[provider(**{key: ""})])

        assert config_api.create(config) == config

    def test_mask_outside_of_secrets_is_an_ordinary_text(self, config_api: ConfigApi) -> None:
        config_api.create(
            {"note": "x", **model(models=[{"name": "m", "note": "x"}], api_providers=[provider(note="x")])}
        )
        sent = {"note": MASK, **model(models=[{"name": "m", "note": MASK}], api_providers=[provider(note=MASK)])}

        assert config_api.put(sent) == sent
        assert stored() == sent

    def test_a_name_that_looks_like_a_secrets_hides_one_anywhere(self, config_api: ConfigApi) -> None:
        config = {"api_key": "hidden", "config_overrides": {"own": {"auth_token": "hidden", "max_tokens": 4096}}}

        shown = config_api.create(config)

        assert shown == {"api_key": MASK, "config_overrides": {"own": {"auth_token": MASK, "max_tokens": 4096}}}
        assert config_api.put(shown) == shown
        assert stored() == config
