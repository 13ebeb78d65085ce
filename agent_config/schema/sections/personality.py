"""The bot's personality."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from agent_config.schema.formats import Account
from agent_config.schema.objects import OpenObject, field


class Persona(
    OpenObject,
    title=_("Persona"),
    about=_("The bot's character, and how it speaks. A text alone is its character."),
    group="personality",
):
    personality: str = field(_("Character"), _("Who the bot is, in a few sentences."))
    reply_style: str = field(_("Reply style"), _("How the bot words its replies."), "", max_length=500)
    interest: str = field(
        _("Interests"), _("What the bot likes to talk about, and what it avoids."), "", max_length=500
    )
    plan_style: str = field(
        _("Behaviour in groups"), _("When the bot speaks and when it listens, in group chats."), "", max_length=500
    )
    private_plan_style: str = field(
        _("Behaviour in private"), _("When the bot speaks and when it listens, in private chats."), "", max_length=500
    )
    visual_style: str = field(
        _("Picture style"), _("How the bot puts what it sees in a picture into words."), "", max_length=500
    )
    states: list[str] = field(
        _("Other characters"), _("Characters that take the place of the usual one now and then."), []
    )
    state_probability: float = field(
        _("Chance of another character"),
        _("How often one of the other characters is taken, 0 to 1."),
        0.0,
        low=0,
        high=1,
    )


class BotOverrides(
    OpenObject,
    title=_("Account"),
    about=_("The names and accounts under which the bot is known."),
    group="personality",
):
    platform: str = field(_("Platform"), _("The platform of the bot's main account."), "", max_length=50)
    qq_account: str = field(_("QQ account"), _("The number of the bot's QQ account."), "", max_length=50)
    nickname: str = field(_("Nickname"), _("The name that the bot goes by."), "", max_length=100)
    platforms: list[Account] = field(
        _("Other accounts"), _("The bot's accounts on other platforms, each as platform:id."), []
    )
    alias_names: list[str] = field(_("Other names"), _("Names to which the bot listens as well."), [])
