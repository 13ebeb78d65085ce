"""The Latin words in what people read in Chinese: sentences of the APIs, and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

# Names, formats and headers that Chinese engineers write so, too.
ALLOWED = {
    *(
        "Agent",
        "API",
        "ASCII",
        "CSRF",
        "CSV",
        "ETag",
        "Esc",
        "Host",
        "ID",
        "IP",
        "JSON",
        "KiB",
        "LPMM",
        "Lines",
        "MiB",
        "NUL",
        "PageRank",
        "QQ",
    ),
    *(
        "Schema",
        "Tab",
        "TLS",
        "TOML",
        "URL",
        "UTC",
        "UTF-8",
        "VALID",
        "cookie",
        "maim",
        "p50",
        "p99",
        "surrogate",
        "token",
    ),
    *("Content-Encoding", "Content-Type", "Idempotency-Key", "application/json"),
    *("MAIM_ENCRYPTION_KEYS", "MAIM_INTERNAL_HOSTS", "MAIM_PUBLIC_URL"),
    *("DELETE", "GET", "PATCH", "POST", "PUT"),
    *("false", "null", "true"),
    # values and names of fields that sentences quote
    *("after", "day", "id", "month", "total"),
}
# Words for which the product has another one, with that one.
SYNONYMS = {
    "密文": "机密值, 加密内容",
    "改动": "变更, 修改",
    "更改": "变更, 修改",
    "使用情况": "用量",
    "使用量": "用量",
    "使用次数": "用量",
    "使用日志": "用量日志",
    "应答": "响应",
    "账户": "账号",
    "帐号": "账号",
    "帐户": "账号",
    "智能体": "Agent",
    "稍后重试": "稍后再试",
    "您": "你",
    "旧密钥继续": "旧密钥值, 宽限期",
    "停用密钥": "禁用密钥",
    "迁入": "迁移",
    "物件": "对象, 列表",
    "类目": "对象",
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_/-]+")
# Not words of a sentence: what is quoted, ids, codes such as `agent.create`, masked keys, and examples of a form.
_IDENTIFIERS = re.compile(
    r"""'[^']*'|"[^"]*"|“[^”]*”|「[^」]*」
    | \b(?:user|tenant|agent|template|key|req|session)_\w+ | mmc_\S+ | …\w{4}\b
    | [A-Za-z_]+(?:[.:][A-Za-z_]+)+ | HH:MM-HH:MM | maibot-[\d.]+
    | 2001:db8::\S* | (?<!\w)(?<![A-Z]-)\d[-\d:./TZe]* | \bNaN\b | \bInfinity\b""",
    re.VERBOSE,
)
# Names of fields, which say what an error is about, and the choices that a field has, do not change with the language.
_FIELD = re.compile(r"^[\w.\[\]-]+: ")
_CHOICES = re.compile("：[-\\w., ]+。$")
_SENTENCES = ("detail", "message", "error")


def latin_words(text: str, allowed: frozenset[str] = frozenset()) -> list[str]:
    """Return the words that are neither Chinese nor allowed."""
    plain = _IDENTIFIERS.sub("", _CHOICES.sub("", _FIELD.sub("", text)))
    return [word for word in _WORD.findall(plain) if word not in ALLOWED | allowed]


def wrong_terms(text: str) -> list[str]:
    """Return the words in the text for which the product has others."""
    return [word for word in SYNONYMS if word in text]


def sentences(body: Any) -> Iterator[str]:
    """Yield the texts for people in a JSON response."""
    if isinstance(body, list):
        for item in body:
            yield from sentences(item)
    elif isinstance(body, dict):
        for name, value in body.items():
            if name == "errors" and isinstance(value, dict):
                for texts in value.values():
                    yield from texts
            elif name in _SENTENCES and isinstance(value, str):
                yield value
            else:
                yield from sentences(value)


def texts_of_page(html: str) -> list[str]:
    """Return the texts of a page, with those of attributes and without names, documents and scripts."""
    parser = _TextParser()
    parser.feed(html)
    return parser.texts


class _TextParser(HTMLParser):
    """A parser that collects the texts that a page itself says."""

    _attributes = ("title", "placeholder", "aria-label")  # not `alt`: Django translates none of its icons
    _void = frozenset({"br", "hr", "img", "input", "link", "meta"})
    _data = frozenset({"bdi", "kbd", "pre", "script", "style", "textarea"})

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        names = (*self._attributes, "value") if values.get("type") in ("submit", "button") else self._attributes
        self.texts += [value for name in names if (value := values.get(name))]
        if tag not in self._void:
            # The name of an icon is text, of which the font makes the icon.
            is_icon = "material-symbols-outlined" in (values.get("class") or "")
            self._open.append("script" if is_icon else tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() not in (tag, "script"):
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._data.intersection(self._open):
            self.texts.append(" ".join(data.split()))
