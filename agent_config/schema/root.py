"""The schema of a whole config."""

from __future__ import annotations

from typing import Annotated

from django.utils.translation import gettext_noop as _
from pydantic import BeforeValidator

from agent_config.merging import persona_object
from agent_config.schema.objects import OpenObject, section
from agent_config.schema.sections.abilities import Emoji, Mood, Plugin, Tool, Voice
from agent_config.schema.sections.chat import (
    Chat,
    ChineseTypo,
    Experimental,
    KeywordReaction,
    MessageReceive,
    ResponsePostProcess,
    ResponseSplitter,
)
from agent_config.schema.sections.learning import Dream, Expression, Jargon, LpmmKnowledge, Memory, Relationship
from agent_config.schema.sections.models import ModelSection
from agent_config.schema.sections.operation import Debug, MaimMessage, Telemetry
from agent_config.schema.sections.personality import BotOverrides, Persona

GROUPS = {
    "personality": _("Personality"),
    "chat": _("Conversation"),
    "abilities": _("Abilities"),
    "learning": _("Learning and memory"),
    "models": _("Models"),
    "connection": _("Connection"),
    "diagnostics": _("Diagnostics"),
}


class ConfigOverrides(
    OpenObject,
    title=_("Settings"),
    about=_("The sections of the bot's settings."),
):
    chat: Chat = section(Chat)
    message_receive: MessageReceive = section(MessageReceive)
    keyword_reaction: KeywordReaction = section(KeywordReaction)
    response_post_process: ResponsePostProcess = section(ResponsePostProcess)
    response_splitter: ResponseSplitter = section(ResponseSplitter)
    chinese_typo: ChineseTypo = section(ChineseTypo)
    experimental: Experimental = section(Experimental)
    mood: Mood = section(Mood)
    emoji: Emoji = section(Emoji)
    voice: Voice = section(Voice)
    tool: Tool = section(Tool)
    plugin: Plugin = section(Plugin)
    expression: Expression = section(Expression)
    memory: Memory = section(Memory)
    jargon: Jargon = section(Jargon)
    relationship: Relationship = section(Relationship)
    dream: Dream = section(Dream)
    lpmm_knowledge: LpmmKnowledge = section(LpmmKnowledge)
    model: ModelSection = section(ModelSection)
    maim_message: MaimMessage = section(MaimMessage)
    telemetry: Telemetry = section(Telemetry)
    debug: Debug = section(Debug)


class Root(
    OpenObject,
    title=_("Agent config"),
    about=_("What a bot is, says and does. What this schema does not know is kept as it was sent."),
):
    persona: Annotated[Persona, BeforeValidator(persona_object)] = section(Persona)
    bot_overrides: BotOverrides = section(BotOverrides)
    config_overrides: ConfigOverrides = section(ConfigOverrides)
