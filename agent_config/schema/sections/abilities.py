"""The bot's abilities besides talking."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from agent_config.schema.objects import OpenObject, field


class Mood(
    OpenObject,
    title=_("Mood"),
    about=_("Whether the bot has moods, and how they change."),
    group="abilities",
):
    enable_mood: bool = field(_("Have moods"), _("Whether the bot's mood changes with what it reads."), True)
    mood_update_threshold: float = field(
        _("Steadiness"), _("How much has to happen before the mood changes; more is steadier."), 1.0, low=0
    )
    emotion_style: str = field(
        _("Temperament"), _("How the bot's feelings come and go, in a sentence."), "", max_length=200
    )


class Emoji(
    OpenObject,
    title=_("Stickers"),
    about=_("The pictures that the bot collects and sends."),
    group="abilities",
):
    emoji_chance: float = field(
        _("Chance of a sticker"), _("How often the bot sends a sticker with a reply, 0 to 1."), 0.6, low=0, high=1
    )
    max_reg_num: int = field(_("Maximum stickers"), _("How many stickers the bot keeps."), 200, low=0)
    do_replace: bool = field(
        _("Replace old stickers"),
        _("Whether new stickers take the place of old ones when there is no more room."),
        True,
    )
    check_interval: int = field(
        _("Interval of checks"), _("Minutes between two looks for new or broken stickers."), 120, low=1
    )
    steal_emoji: bool = field(_("Collect stickers"), _("Whether the bot keeps stickers that others send."), True)
    content_filtration: bool = field(
        _("Filter stickers"), _("Whether only stickers that meet the requirement are kept."), False
    )
    filtration_prompt: str = field(
        _("Requirement for stickers"), _("What a sticker has to be like to be kept, in a sentence."), "", max_length=200
    )


class Voice(
    OpenObject,
    title=_("Voice"),
    about=_("What the bot does with spoken messages."),
    group="abilities",
):
    enable_asr: bool = field(_("Recognize speech"), _("Whether spoken messages are turned into text."), False)


class Tool(
    OpenObject,
    title=_("Tools"),
    about=_("The tools that the bot may call while it thinks of a reply."),
    group="abilities",
):
    enable_tool: bool = field(_("Use tools"), _("Whether the bot calls tools."), False)
    tool_cache_ttl: int = field(_("Keep results"), _("How many seconds a tool's result is kept."), low=0)
    max_tool_execution_time: int = field(_("Longest call"), _("How many seconds a tool may take."), low=0)
    enable_tool_parallel: bool = field(_("Call tools in parallel"), _("Whether several tools are called at once."))


class Plugin(
    OpenObject,
    title=_("Plugins"),
    about=_("Which plugins the bot runs."),
    group="abilities",
):
    enable_plugins: bool = field(_("Run plugins"), _("Whether the bot runs plugins at all."), True)
    tenant_mode_disable_plugins: bool = field(
        _("No plugins for tenants"), _("Whether plugins are off where one process serves several tenants."), True
    )
    allowed_plugins: list[str] = field(_("Allowed plugins"), _("The only plugins that run; all if there are none."), [])
    blocked_plugins: list[str] = field(_("Blocked plugins"), _("Plugins that never run."), [])
