"""Views of the uses of keys on the internal surface."""

from __future__ import annotations

from apikeys.views.usage import BaseAgentUsageView, BaseKeyUsageView, BaseTenantUsageView
from core.http.views import InternalV2View


class TenantUsageView(BaseTenantUsageView, InternalV2View):
    pass


class AgentUsageView(BaseAgentUsageView, InternalV2View):
    pass


class KeyUsageView(BaseKeyUsageView, InternalV2View):
    pass
