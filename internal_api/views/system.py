"""Views of what the system offers to every agent, on the internal surface."""

from __future__ import annotations

from agents.views.agents import BaseBotDefaultsView, BaseSystemModelsView
from core.http.views import InternalV2View


class SystemModelsView(BaseSystemModelsView, InternalV2View):
    pass


class BotDefaultsView(BaseBotDefaultsView, InternalV2View):
    pass
