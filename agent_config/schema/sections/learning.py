"""The bot's learning, memory and knowledge."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from agent_config.schema.formats import AccountOrChat, ChatOrEvery, LearningRule
from agent_config.schema.objects import OpenObject, field


class Expression(
    OpenObject,
    title=_("Expression"),
    about=_("How the bot learns to speak as the people around it do."),
    group="learning",
):
    mode: str = field(
        _("Mode"),
        _("How a learned expression is chosen: by simple rules, or by a model of its own."),
        "classic",
        known=("classic", "exp_model"),
        max_length=20,
    )
    learning_list: list[LearningRule] = field(
        _("Where to learn"), _("For each chat, empty for all: enable or disable."), []
    )
    expression_groups: list[list[ChatOrEvery]] = field(
        _("Shared expressions"), _("Groups of chats that share what was learned in one of them; * is every chat."), []
    )
    reflect: bool = field(
        _("Ask about expressions"), _("Whether the bot asks its operator if learned expressions are good."), False
    )
    reflect_operator_id: str = field(
        _("Operator to ask"), _("Whom the bot asks, as platform:id:private."), "", max_length=50
    )
    allow_reflect: list[AccountOrChat] = field(
        _("Chats to ask about"), _("The chats whose expressions the bot asks about; all if there are none."), []
    )


class Memory(
    OpenObject,
    title=_("Memory"),
    about=_("What the bot remembers, and how it looks for it."),
    group="learning",
):
    max_memory_number: int = field(_("Maximum memories"), _("How many memories the bot keeps."), 100, low=0)
    memory_build_frequency: int = field(
        _("Frequency of remembering"), _("After how many turns the bot makes new memories."), 1, low=1
    )
    max_agent_iterations: int = field(
        _("Maximum searches"), _("In how many steps the bot looks for a memory at most."), 5, low=1
    )
    enable_jargon_detection: bool = field(
        _("Notice jargon"), _("Whether the bot looks up the jargon of a chat when it remembers."), True
    )


class Jargon(
    OpenObject,
    title=_("Jargon"),
    about=_("The words that have a meaning of their own in a chat."),
    group="learning",
):
    all_global: bool = field(_("Share jargon"), _("Whether jargon learned in one chat counts in all."), False)


class Relationship(
    OpenObject,
    title=_("Relationships"),
    about=_("What the bot thinks of the people it talks to."),
    group="learning",
):
    enable_relationship: bool = field(
        _("Have relationships"), _("Whether the bot keeps an impression of each person."), True
    )


class Dream(
    OpenObject,
    title=_("Dreams"),
    about=_("How the bot sorts its memories while nobody talks to it."),
    group="learning",
):
    interval_minutes: int = field(_("Interval"), _("Minutes between two dreams."), 60, low=1)
    max_iterations: int = field(_("Maximum steps"), _("How many steps a dream has at most."), 3, low=1)


class LpmmKnowledge(
    OpenObject,
    title=_("Knowledge base"),
    about=_("How the bot looks up what it was given to read (LPMM)."),
    group="learning",
):
    enable: bool = field(_("Use the knowledge base"), _("Whether the bot looks things up."), False)
    lpmm_mode: str = field(
        _("Mode"),
        _("How the bot looks things up: always, or when it decides to."),
        "",
        known=("classic", "agent"),
        max_length=50,
    )
    rag_synonym_search_top_k: int = field(
        _("Synonyms to look at"), _("How many candidates for a synonym are looked at."), 5, low=1
    )
    rag_synonym_threshold: float = field(
        _("Synonym threshold"), _("From what similarity on two words count as synonyms, 0 to 1."), 0.8, low=0, high=1
    )
    info_extraction_workers: int = field(
        _("Extraction threads"), _("In how many threads new texts are read."), 4, low=1
    )
    qa_relation_search_top_k: int = field(
        _("Relations to look at"), _("How many relations are looked at for an answer."), 10, low=1
    )
    qa_relation_threshold: float = field(
        _("Relation threshold"), _("From what similarity on a relation counts, 0 to 1."), 0.6, low=0, high=1
    )
    qa_paragraph_search_top_k: int = field(
        _("Paragraphs to look at"), _("How many paragraphs are looked at for an answer."), 5, low=1
    )
    qa_paragraph_node_weight: float = field(
        _("Weight of paragraphs"), _("How much a paragraph counts beside a relation, 0 to 1."), 0.5, low=0, high=1
    )
    qa_ent_filter_top_k: int = field(_("Entities to keep"), _("How many entities are kept for an answer."), 10, low=1)
    qa_ppr_damping: float = field(
        _("Damping"), _("The damping factor of the ranking (PageRank), 0 to 1."), 0.85, low=0, high=1
    )
    qa_res_top_k: int = field(_("Passages in an answer"), _("How many passages an answer is made from."), 3, low=1)
    embedding_dimension: int = field(
        _("Size of embeddings"), _("How many numbers the embedding model gives for a text."), 768, low=1
    )
