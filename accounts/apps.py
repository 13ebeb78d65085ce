from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from accounts.metrics import MailCollector  # imports models, which are loaded by now
        from core.http import metrics

        metrics.register(MailCollector())


class OperatorsAdminConfig(admin.AdminConfig):
    """Django's admin with our site."""

    default = False
    default_site = "accounts.site.OperatorsSite"

    def ready(self) -> None:
        super().ready()
        from django.contrib.admin import site
        from django.contrib.auth.models import Group

        from core.admin_urls import quote_dots

        quote_dots()
        # Roles are given on the user's page. A group has no permissions of its own (accounts.operator_roles).
        site.unregister(Group)
