"""The bot's connection and diagnostics."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from agent_config.schema.objects import OpenObject, field


class MaimMessage(
    OpenObject,
    title=_("Message server"),
    about=_("The server through which messages reach the bot."),
    group="connection",
):
    use_custom: bool = field(_("Use an own server"), _("Whether the bot runs a message server of its own."), False)
    host: str = field(_("Listening address"), _("The address at which it listens."), "", max_length=100)
    port: int = field(_("Port"), _("The port at which it listens, 0 to 65535."), 0, low=0, high=65535)
    mode: str = field(_("Protocol"), _("The protocol that it speaks."), "", known=("ws", "tcp"), max_length=50)
    use_wss: bool = field(_("Encrypt"), _("Whether connections are encrypted (TLS)."), False)
    cert_file: str = field(_("Certificate"), _("The file with the certificate."), "", max_length=200)
    key_file: str = field(_("Private key"), _("The file with the certificate's private key."), "", max_length=200)
    auth_token: list[str] = field(
        _("Tokens"),
        _("The tokens of which a client has to send one; none are needed if there are none."),
        [],
        secret=True,
    )


class Telemetry(
    OpenObject,
    title=_("Telemetry"),
    about=_("What the bot reports about itself."),
    group="diagnostics",
):
    enable: bool = field(_("Send statistics"), _("Whether the bot sends anonymous statistics to its makers."), True)


class Debug(
    OpenObject,
    title=_("Debugging"),
    about=_("What the bot writes into its log besides the usual."),
    group="diagnostics",
):
    show_prompt: bool = field(_("Prompts"), _("Whether the prompts are logged."), False)
    show_replyer_prompt: bool = field(_("Replier's prompts"), _("Whether the prompts for replies are logged."), False)
    show_replyer_reasoning: bool = field(
        _("Replier's reasons"), _("Whether the reasons for replies are logged."), False
    )
    show_jargon_prompt: bool = field(_("Jargon prompts"), _("Whether the prompts for jargon are logged."), False)
    show_memory_prompt: bool = field(_("Memory prompts"), _("Whether the prompts for memories are logged."), False)
    show_planner_prompt: bool = field(_("Planner's prompts"), _("Whether the prompts for planning are logged."), False)
    show_lpmm_paragraph: bool = field(
        _("Knowledge paragraphs"), _("Whether the paragraphs found in the knowledge base are logged."), False
    )
