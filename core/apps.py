import gc

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    name = "core"
    label = "common"  # the prefix of the tables and the name in stored migrations
    verbose_name = _("Audit")

    def ready(self) -> None:
        gc.freeze()  # all that is imported stays, so that no collection need look at it, in this process and its forks
        gc.enable()  # manage.py disables it for the imports
        from core import checks  # noqa: F401  # registers the system checks
