"""djangorestframework-api-key: a view with the permission HasAPIKey, and one that revokes a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.wsgi import get_wsgi_application

from bench.peers.apps import django_project

django_project.configure("bench.peers.apps.api_key", "rest_framework_api_key")

from django.urls import path  # noqa: E402  # after the configuration, which these need
from rest_framework.request import Request  # noqa: E402  # as above
from rest_framework.response import Response  # noqa: E402  # as above
from rest_framework.views import APIView  # noqa: E402  # as above
from rest_framework_api_key.models import APIKey  # noqa: E402  # as above
from rest_framework_api_key.permissions import HasAPIKey  # noqa: E402  # as above

INTERFACE = "wsgi"
BATCH = 1000


class VerifiedView(APIView):
    permission_classes = [HasAPIKey]

    def get(self, request: Request) -> Response:
        return Response({"valid": True})


class RevokeView(APIView):
    def post(self, request: Request) -> Response:
        APIKey.objects.filter(pk=request.data["id"]).update(revoked=True)
        return Response({"revoked": True})


urlpatterns = [path("verified", VerifiedView.as_view()), path("revoke", RevokeView.as_view())]


def seed(number: int) -> Iterator[tuple[str, str]]:
    """Store keys as the library does."""
    django_project.migrate()
    keys = [APIKey(name=f"Key {index}") for index in range(number)]
    secrets = [APIKey.objects.assign_key(key) for key in keys]
    APIKey.objects.bulk_create(keys, batch_size=BATCH)
    return zip((key.pk for key in keys), secrets, strict=True)


def application() -> Any:
    """Return the project."""
    return get_wsgi_application()
