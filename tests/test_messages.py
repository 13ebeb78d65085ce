"""The translations, which are complete, compiled, used, and of one wording."""

from __future__ import annotations

import gettext
from pathlib import Path

import django
import polib
import pytest
import rest_framework
import unfold
from django.conf import settings

from tests.support.chinese import SYNONYMS, wrong_terms
from tests.support.client import SurfaceClient
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

# Our own texts; and those of Django, REST framework and unfold that have none in Chinese or read better this way.
OWN, LIBRARIES = CATALOGS = [Path(path) / "zh_Hans/LC_MESSAGES/django.po" for path in settings.LOCALE_PATHS]


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.parts[-4])
class TestCatalogs:
    def test_every_sentence_is_translated(self, path: Path) -> None:
        entries = polib.pofile(str(path))

        assert [entry.msgid for entry in entries if not entry.translated()] == []

    def test_compiled_catalog_is_up_to_date(self, path: Path) -> None:
        entries = polib.pofile(str(path))
        with path.with_suffix(".mo").open("rb") as compiled:
            catalog = gettext.GNUTranslations(compiled)

        def text_of(entry: polib.POEntry) -> str:
            if entry.msgid_plural:
                return catalog.ngettext(entry.msgid, entry.msgid_plural, 2)
            return catalog.pgettext(entry.msgctxt, entry.msgid) if entry.msgctxt else catalog.gettext(entry.msgid)

        found = {(entry.msgctxt, entry.msgid): text_of(entry) for entry in entries}
        assert found == {(entry.msgctxt, entry.msgid): entry.msgstr or entry.msgstr_plural[0] for entry in entries}, (
            "run: make messages"
        )

    def test_one_thing_has_one_word(self, path: Path) -> None:
        texts = [entry.msgstr or entry.msgstr_plural[0] for entry in polib.pofile(str(path))]

        assert {text: wrong_terms(text) for text in texts if wrong_terms(text)} == {}, SYNONYMS


def test_chinese_readme_uses_the_same_words() -> None:
    assert wrong_terms((ROOT / "README.zh-CN.md").read_text()) == []


def test_texts_of_libraries_are_theirs_as_they_are_now() -> None:
    sources = Path(django.__path__[0]).rglob("locale/en/LC_MESSAGES/django.po")
    compiled = Path(rest_framework.__path__[0]) / "locale/zh_Hans/LC_MESSAGES/django.mo"  # it comes without sources
    catalogs = [*(polib.pofile(str(path)) for path in sources), polib.mofile(str(compiled))]
    theirs = {entry.msgid for catalog in catalogs for entry in catalog}
    # unfold comes without catalogs.
    files = [path for path in Path(unfold.__path__[0]).rglob("*") if path.suffix in (".html", ".py")]
    of_unfold = "".join(path.read_text(encoding="utf-8") for path in files)

    missing = [entry.msgid for entry in polib.pofile(str(LIBRARIES)) if entry.msgid not in theirs]
    assert [msgid for msgid in missing if f'"{msgid}"' not in of_unfold and f"'{msgid}'" not in of_unfold] == []


def test_v2_responds_in_chinese_for_any_accepted_language(internal: SurfaceClient, db: None) -> None:
    response = internal.send("GET", "/api/v2/tenants/tenant_000000000000", HTTP_ACCEPT_LANGUAGE="en").json()

    assert response["message"] == "租户不存在"


@pytest.mark.parametrize(("accepted", "detail"), [(None, "Sign in first"), ("zh-CN,zh;q=0.9", "请先登录")])
def test_v1_responds_in_the_accepted_language(public: SurfaceClient, accepted: str | None, detail: str) -> None:
    headers = {} if accepted is None else {"HTTP_ACCEPT_LANGUAGE": accepted}

    assert public.send("GET", "/api/v1/agents/", **headers).json()["detail"] == detail
