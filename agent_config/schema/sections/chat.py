"""The bot's conversations: when it speaks, and how messages are processed."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from agent_config.schema.formats import ChatOrAll, ChatPrompt, Regex, TimeRange
from agent_config.schema.objects import OpenObject, field


class TalkRule(
    OpenObject,
    title=_("Rule"),
    about=_("How often the bot speaks, in a chat at a time of day."),
):
    target: ChatOrAll = field(_("Chat"), _("The chat, as platform:id:group or platform:id:private; empty for all."))
    time: TimeRange = field(_("Time of day"), _("From when to when it holds, as HH:MM-HH:MM."))
    value: float = field(_("Frequency"), _("How often the bot speaks then, 0 to 1."), low=0, high=1)


class Chat(
    OpenObject,
    title=_("Chat"),
    about=_("When the bot speaks, and how much of the chat it reads."),
    group="chat",
):
    max_context_size: int = field(
        _("Context size"), _("How many of the last messages the bot reads before it answers."), 18, low=1
    )
    interest_rate_mode: str = field(
        _("Interest mode"),
        _("How the bot tells whether a message interests it: quickly or accurately."),
        "fast",
        known=("fast", "accurate"),
        max_length=20,
    )
    planner_size: float = field(
        _("Planner size"), _("How much one planning step takes on; less is finer, and costs more."), 1.5, low=0
    )
    mentioned_bot_reply: bool = field(
        _("Answer when mentioned"), _("Whether the bot answers when somebody mentions it."), True
    )
    auto_chat_value: float = field(
        _("Own initiative"), _("How often the bot starts to talk by itself, 0 to 1."), 1.0, low=0, high=1
    )
    enable_auto_chat_value_rules: bool = field(
        _("Use rules for own initiative"), _("Whether the rules for the bot's own initiative hold."), True
    )
    at_bot_inevitable_reply: float = field(
        _("Chance of an answer when addressed"),
        _("How often the bot answers a message that is addressed to it with @, 0 to 1."),
        1.0,
        low=0,
        high=1,
    )
    planner_smooth: float = field(
        _("Planner smoothing"), _("Seconds to wait between planning steps; more costs less, and is slower."), 3.0, low=0
    )
    talk_value: float = field(_("Talkativeness"), _("How often the bot joins in, 0 to 1."), 1.0, low=0, high=1)
    enable_talk_value_rules: bool = field(
        _("Use rules for talkativeness"), _("Whether the rules for the bot's talkativeness hold."), True
    )
    talk_value_rules: list[TalkRule] = field(
        _("Rules for talkativeness"), _("Where and when the bot is more or less talkative than usual."), []
    )
    auto_chat_value_rules: list[TalkRule] = field(
        _("Rules for own initiative"), _("Where and when the bot starts to talk more or less often than usual."), []
    )
    include_planner_reasoning: bool = field(
        _("Show the plan to the replier"),
        _("Whether the model that writes the reply reads the planner's reasons."),
        False,
    )


class MessageReceive(
    OpenObject,
    title=_("Incoming messages"),
    about=_("Which messages the bot does not read."),
    group="chat",
):
    ban_words: list[str] = field(_("Banned words"), _("A message with one of these words is left out."), [])
    ban_msgs_regex: list[Regex] = field(
        _("Banned patterns"), _("A message that one of these regular expressions finds is left out."), []
    )


class KeywordRule(
    OpenObject,
    title=_("Keyword rule"),
    about=_("How the bot reacts to a message with one of several words."),
):
    keywords: list[str] = field(_("Keywords"), _("The words, of which one is enough."))
    reaction: str = field(_("Reaction"), _("What the bot is told to do about it."))


class RegexRule(
    OpenObject,
    title=_("Pattern rule"),
    about=_("How the bot reacts to a message that one of several regular expressions finds."),
):
    regex: list[Regex] = field(_("Regular expressions"), _("The regular expressions, of which one is enough."))
    reaction: str = field(_("Reaction"), _("What the bot is told to do about it; [n] stands for the group named n."))


class KeywordReaction(
    OpenObject,
    title=_("Reactions"),
    about=_("What the bot does when certain words or patterns occur in a message."),
    group="chat",
):
    keyword_rules: list[KeywordRule] = field(_("Keyword rules"), _("Reactions to words."), [])
    regex_rules: list[RegexRule] = field(_("Pattern rules"), _("Reactions to regular expressions."), [])


class ResponsePostProcess(
    OpenObject,
    title=_("Reply processing"),
    about=_("Whether replies are worked on before they are sent."),
    group="chat",
):
    enable_response_post_process: bool = field(
        _("Process replies"),
        _("Whether replies are split and given typing errors, as set in the next sections."),
        False,
    )


class ResponseSplitter(
    OpenObject,
    title=_("Splitting of replies"),
    about=_("How a long reply is sent as several messages."),
    group="chat",
):
    enable: bool = field(_("Split replies"), _("Whether long replies are split."), False)
    max_length: int = field(_("Longest reply"), _("How many characters a reply may have."), 100, low=1)
    max_sentence_num: int = field(
        _("Maximum messages"), _("Into how many messages a reply is split at most."), 5, low=1
    )
    enable_kaomoji_protection: bool = field(
        _("Keep kaomoji whole"), _("Whether faces made of characters are kept in one piece."), True
    )
    enable_overflow_return_all: bool = field(
        _("Send what is too long whole"), _("Whether a reply of too many messages is sent as one."), True
    )


class ChineseTypo(
    OpenObject,
    title=_("Typing errors"),
    about=_("Errors in Chinese replies, as people make them while they type."),
    group="chat",
):
    enable: bool = field(_("Make typing errors"), _("Whether replies have typing errors."), False)
    error_rate: float = field(
        _("Wrong characters"), _("The share of characters that are replaced, 0 to 1."), 0.0, low=0, high=1
    )
    min_freq: int = field(
        _("Least frequency"), _("How frequent a character has to be to take another's place."), 0, low=0
    )
    tone_error_rate: float = field(
        _("Wrong tones"), _("The share of replaced characters of another tone, 0 to 1."), 0.0, low=0, high=1
    )
    word_replace_rate: float = field(
        _("Wrong words"), _("The share of words that are replaced as a whole, 0 to 1."), 0.0, low=0, high=1
    )


class Experimental(
    OpenObject,
    title=_("Experiments"),
    about=_("What is being tried out, and may change."),
    group="chat",
):
    enable_friend_chat: bool = field(_("Chat with friends"), _("Whether the bot answers in private chats."), False)
    chat_prompts: list[ChatPrompt] = field(
        _("Prompts for chats"), _("A prompt for one chat each, as platform:id:group:prompt or :private:prompt."), []
    )
