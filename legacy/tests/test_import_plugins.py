"""Imported plugin settings, and faults in the old data."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.models import PluginSetting
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import TENANT_ID, OldDatabase

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_value_that_looks_sealed_is_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(TENANT_ID, None, config={"headers": {"x": {"$sealed": "gAAAAA"}}, "n": 1})

    run = import_from(old, tmp_path)

    assert PluginSetting.unscoped.get().config == {"headers": {"x": {}}, "n": 1}
    assert run.reasons("plugins") == ["config partly left out"]


def test_later_of_two_settings_of_one_plugin_is_imported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(TENANT_ID, None, id="ps_1", config={"n": 1}, updated_at="2026-01-01 00:00:00")
    old.plugin(TENANT_ID, None, id="ps_2", config={"n": 2}, updated_at="2026-01-02 00:00:00")

    run = import_from(old, tmp_path)

    assert [setting.config for setting in PluginSetting.unscoped.all()] == [{"n": 2}]
    assert run.reasons("plugins") == ["repeated"]


def test_config_that_is_not_an_object_becomes_empty(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(TENANT_ID, None, config="[1]")

    run = import_from(old, tmp_path)

    assert PluginSetting.unscoped.get().config == {}
    assert run.reasons("plugins") == ["bad JSON"]
