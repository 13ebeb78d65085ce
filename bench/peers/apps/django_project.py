"""The Django settings of the two Django peers, with as little in them as they need."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command


def configure(urls: str, *apps: str) -> None:
    """Set up Django with these applications and the URLs of a module."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    settings.configure(
        ROOT_URLCONF=urls,
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=[],
        SECRET_KEY="a secret of the benchmark, thirty-two or more",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", *apps],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "HOST": parts.hostname,
                "PORT": parts.port,
                "USER": parts.username,
                "PASSWORD": parts.password,
                "NAME": parts.path.strip("/"),
                "CONN_MAX_AGE": None,
            }
        },
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "DEFAULT_PERMISSION_CLASSES": [],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "UNAUTHENTICATED_USER": None,
        },
    )
    django.setup()


def migrate() -> None:
    """Create the tables."""
    call_command("migrate", verbosity=0)
