from django.apps import AppConfig


class ServerConfig(AppConfig):
    name = "maim.server"
    label = "server"
