from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "maim.common"
    label = "common"
