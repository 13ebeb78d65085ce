"""The translations, which are complete, compiled and used."""

from __future__ import annotations

import gettext
from pathlib import Path

import polib
import pytest

from tests.support.client import SurfaceClient

pytestmark = pytest.mark.embedded

CATALOG = Path(__file__).parent.parent / "locale/zh_Hans/LC_MESSAGES/django.po"


def test_every_sentence_is_translated() -> None:
    entries = polib.pofile(str(CATALOG))

    assert [entry.msgid for entry in entries if not entry.translated()] == []


def test_compiled_catalog_is_up_to_date() -> None:
    entries = {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOG))}
    with CATALOG.with_suffix(".mo").open("rb") as compiled:
        catalog = gettext.GNUTranslations(compiled)

    assert {msgid: catalog.gettext(msgid) for msgid in entries} == entries, "run: make messages"


def test_v2_responds_in_chinese_for_any_accepted_language(internal: SurfaceClient, db: None) -> None:
    response = internal.send("GET", "/api/v2/tenants/tenant_000000000000", HTTP_ACCEPT_LANGUAGE="en").json()

    assert response["message"] == "租户不存在"


@pytest.mark.parametrize(("accepted", "detail"), [(None, "Sign in first"), ("zh-CN,zh;q=0.9", "请先登录")])
def test_v1_responds_in_the_accepted_language(public: SurfaceClient, accepted: str | None, detail: str) -> None:
    headers = {} if accepted is None else {"HTTP_ACCEPT_LANGUAGE": accepted}

    assert public.send("GET", "/api/v1/agents/", **headers).json()["detail"] == detail
