from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _

from maim.common.galera import wait_for_other_nodes


class CommonConfig(AppConfig):
    name = "maim.common"
    label = "common"
    verbose_name = _("Audit")

    def ready(self) -> None:
        connection_created.connect(wait_for_other_nodes)
