"""The language models that the bot uses, and their providers."""

from __future__ import annotations

from typing import Annotated, Any

from django.utils.translation import gettext_noop as _
from pydantic import StringConstraints

from agent_config.schema.formats import Address
from agent_config.schema.objects import OpenObject, field

_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Provider(
    OpenObject,
    title=_("Provider"),
    about=_("A service that runs models, and the access to it."),
):
    name: _Name = field(_("Name"), _("The name by which models refer to it."), ...)
    client_type: str = field(
        _("Protocol"), _("The interface that it speaks."), "openai", known=("openai", "gemini"), max_length=50
    )
    base_url: Address = field(_("Address"), _("The base address of its interface."), max_length=500, secret=True)
    api_key: str = field(_("API key"), _("The key that it asks for."), max_length=500, secret=True)
    is_server_provider: bool = field(
        _("The system's own"), _("Whether the system, not the tenant, provides it."), False
    )
    max_retry: int = field(_("Retries"), _("How often a failed call is tried again."), 2, low=0)
    timeout: int = field(_("Timeout"), _("How many seconds a call may take."), 10, low=1)
    retry_interval: int = field(_("Retry interval"), _("How many seconds to wait before the next try."), 10, low=0)


class Model(
    OpenObject,
    title=_("Model"),
    about=_("A model of a provider."),
):
    name: _Name = field(_("Name"), _("The name by which tasks refer to it."), ...)
    model_identifier: str = field(_("Identifier"), _("The name that the provider gives it."), max_length=100)
    api_provider: str = field(_("Provider"), _("The name of the provider that runs it."), max_length=100)
    provider_name: str = field(
        _("Provider (older spelling)"), _("The name of the provider; kept as api_provider."), max_length=100
    )
    temperature: float = field(
        _("Temperature"), _("How freely it answers, 0 to 2; instead of the task's own."), low=0, high=2
    )
    price_in: float = field(_("Price of input"), _("What a million tokens that it reads cost."), 0.0, low=0)
    price_out: float = field(_("Price of output"), _("What a million tokens that it writes cost."), 0.0, low=0)
    force_stream_mode: bool = field(_("Always stream"), _("Whether its answers are always streamed."), False)
    extra_params: dict[str, Any] = field(
        _("Further parameters"), _("What else is sent with each call, as the provider wants it."), {}
    )


class ModelTask(
    OpenObject,
    title=_("Task"),
    about=_("Which models do a task, and how."),
):
    model_list: list[str] = field(_("Models"), _("The names of the models, of which each call takes one."), [])
    max_tokens: int = field(_("Longest answer"), _("How many tokens an answer may have."), 1024, low=1)
    temperature: float = field(_("Temperature"), _("How freely the models answer, 0 to 2."), 0.3, low=0, high=2)
    slow_threshold: float = field(_("Slow after"), _("After how many seconds a call is reported as slow."), 15.0, low=0)


class ModelTasks(
    OpenObject,
    title=_("Tasks"),
    about=_("Which models do which task."),
):
    replyer: ModelTask = field(_("Replies"), _("Writes what the bot says."))
    planner: ModelTask = field(_("Planning"), _("Decides when the bot speaks, and about what."))
    tool_use: ModelTask = field(_("Tool calls"), _("Chooses tools, and calls them."))
    utils: ModelTask = field(_("General tasks"), _("Does the small work that needs a good model, such as summaries."))
    utils_small: ModelTask = field(
        _("Small general tasks"), _("Does the small work for which a small model is enough.")
    )
    vlm: ModelTask = field(_("Pictures"), _("Says what a picture shows."))
    voice: ModelTask = field(_("Speech"), _("Turns spoken messages into text."))
    embedding: ModelTask = field(_("Embeddings"), _("Turns texts into numbers, to find similar ones."))
    lpmm_entity_extract: ModelTask = field(_("Entities"), _("Finds the entities in a text for the knowledge base."))
    lpmm_rdf_build: ModelTask = field(_("Relations"), _("Finds the relations in a text for the knowledge base."))
    lpmm_qa: ModelTask = field(_("Questions"), _("Answers questions from the knowledge base."))


class ModelSection(
    OpenObject,
    title=_("Models"),
    about=_("The bot's own models and providers, and which models do what."),
    group="models",
):
    models: list[Model] = field(_("Models"), _("The bot's own models, each with a name of its own."), [])
    api_providers: list[Provider] = field(
        _("Providers"), _("The services that run the bot's own models, each with a name of its own."), []
    )
    model_task_config: ModelTasks = field(_("Tasks"), _("Which models do which task."))
