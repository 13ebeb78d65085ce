from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LegacyConfig(AppConfig):
    name = "legacy"
    verbose_name = _("Moving in")

    def ready(self) -> None:
        from core.http import metrics
        from legacy.bridge.metrics import BridgeCollector  # imports models, which are loaded by now

        metrics.register(BridgeCollector())
