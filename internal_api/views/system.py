"""What the system offers to every agent."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_config import system
from agents.serializers.agents import ModelsResponse
from core.http.openapi import operation
from core.http.views import InternalV2View


class Models(InternalV2View):
    @operation("The system's model providers and models", tag="system", response=ModelsResponse, offline=True)
    def get(self, request: Request) -> Response:
        return self.respond(system.models(), message=_("System models listed"))


class BotDefaults(InternalV2View):
    @operation("The bots' default sections", tag="system", response=serializers.DictField(), offline=True)
    def get(self, request: Request) -> Response:
        return self.respond(system.bot_defaults(), message=_("Bot defaults listed"))
