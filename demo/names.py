"""Names of people, tenants, agents and keys, in Chinese and English."""

from __future__ import annotations

from collections import Counter
from random import Random

from core.text import fold_name


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FAMILIES = _words("wang li zhang liu chen yang zhao huang zhou wu xu sun ma zhu hu guo he lin gao luo")
_GIVEN = _words("wei fang na xiuying min jing li qiang lei jun yang yong yan jie juan tao ming chao xia ping")
_FIRST = _words("emma liam olivia noah ava james mia lucas zoe henry ella oscar ruth hugo nina felix iris paul")
_LAST = _words("clark moore novak silva meyer rossi evans kim tanaka berg costa dubois khan lopez olsen patel")
_CITIES = ("北京", "上海", "杭州", "深圳", "成都", "广州", "南京", "武汉", "苏州", "厦门")
_FIRMS = ("晨光", "云帆", "启明", "远山", "星河", "青禾", "百川", "知行", "拾光", "沐阳", "海棠", "万象")
_TRADES = ("科技", "网络", "教育", "文化传媒", "电商", "医疗", "物流", "游戏", "软件", "餐饮")
_ENGLISH_FIRMS = (
    *(
        "Northwind",
        "Bluebird",
        "Lantern",
        "Harbour",
        "Cedar",
        "Meridian",
        "Foxglove",
        "Granite",
        "Juniper",
        "Tidewater",
    ),
    *("Copper Hill", "Marlow", "Silverline", "Orchard", "Quarry Lane"),
)
_ENGLISH_TRADES = ("Labs", "Retail", "Health", "Games", "Logistics", "Media", "Learning", "Foods", "Travel", "Robotics")
_AGENTS = (
    *("客服机器人", "售后助手", "群聊小助理", "知识问答", "夜班客服", "招聘助手", "导购", "课程顾问", "小麦", "阿狸"),
    *("Support bot", "Sales assistant", "Onboarding guide", "FAQ bot", "Night shift", "Community host", "Concierge"),
    *("Order tracker", "Release notes", "HR helper"),
)
_KEYS = (
    *("生产环境", "测试环境", "预发布", "数据同步", "定时任务", "临时联调", "合作方接入"),
    *(
        "production",
        "staging",
        "development",
        "nightly job",
        "dashboard",
        "mobile app",
        "webhook",
        "partner",
        "backfill",
    ),
)
TAGS = ("production", "shop", "售前", "售后", "internal", "beta", "qq", "wechat", "telegram")
PLATFORMS = ("qq", "wechat", "telegram", "discord", "web")
ACTIONS = ("message_received", "reply_sent", "image_described", "memory_saved", "tool_called", "emoji_sent")
LEAKS = (
    "https://github.com/example/bot/blob/main/.env",
    "https://gist.github.com/example/0f3c9a",
    "群聊截图",
    "a customer's support ticket",
    "https://pastebin.com/raw/example",
)


class Names:
    """Names by chance, each distinct where it has to be."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._taken: Counter[tuple[str, str]] = Counter()

    def username(self) -> str:
        """Return a username that no other person has."""
        choice = self._random.choice
        is_chinese = self._random.random() < 0.55
        name = choice(_FAMILIES) + choice(_GIVEN) if is_chinese else f"{choice(_FIRST)}.{choice(_LAST)}"
        return self._distinct("", name, "")

    def tenant(self, owner_id: str) -> str:
        """Return a name that no other tenant of the owner has."""
        choice = self._random.choice
        if self._random.random() < 0.5:
            return self._distinct(owner_id, choice(_CITIES) + choice(_FIRMS) + choice(_TRADES), " ")
        return self._distinct(owner_id, f"{choice(_ENGLISH_FIRMS)} {choice(_ENGLISH_TRADES)}", " ")

    def agent(self, tenant_id: str) -> str:
        """Return a name that no other agent of the tenant has."""
        return self._distinct(tenant_id, self._random.choice(_AGENTS), " ")

    def key(self, tenant_id: str) -> str:
        """Return a name that no other key of the tenant has."""
        return self._distinct(tenant_id, self._random.choice(_KEYS), " ")

    def _distinct(self, scope: str, name: str, separator: str) -> str:
        """Return the name, with a number if it was returned before."""
        taken = scope, fold_name(name)
        self._taken[taken] += 1
        number = self._taken[taken]
        return name if number == 1 else f"{name}{separator}{number}"
