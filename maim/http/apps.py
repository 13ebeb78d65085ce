from django.apps import AppConfig


class HttpConfig(AppConfig):
    name = "maim.http"
    label = "http"

    def ready(self) -> None:
        from maim import checks  # noqa: F401  # registers the system checks
