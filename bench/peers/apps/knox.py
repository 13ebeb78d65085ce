"""django-rest-knox: a view with its TokenAuthentication, and its own view that ends a token."""

from __future__ import annotations

from typing import Any

from django.core.wsgi import get_wsgi_application

from bench.peers.apps import django_project

django_project.configure("bench.peers.apps.knox", "knox")

from django.contrib.auth.models import User  # noqa: E402  # after the configuration, which these need
from django.db import transaction  # noqa: E402  # as above
from django.urls import path  # noqa: E402  # as above
from knox.auth import TokenAuthentication  # noqa: E402  # as above
from knox.models import AuthToken  # noqa: E402  # as above
from knox.views import LogoutView  # noqa: E402  # as above
from rest_framework.permissions import IsAuthenticated  # noqa: E402  # as above
from rest_framework.request import Request  # noqa: E402  # as above
from rest_framework.response import Response  # noqa: E402  # as above
from rest_framework.views import APIView  # noqa: E402  # as above

INTERFACE = "wsgi"
USERS = 100


class VerifiedView(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"valid": True, "username": request.user.get_username()})


urlpatterns = [path("verified", VerifiedView.as_view()), path("logout", LogoutView.as_view())]


def seed(number: int) -> list[tuple[str, str]]:
    """Store tokens as the library does, of a hundred users. A token has no id, so its digest stands for one."""
    django_project.migrate()
    with transaction.atomic():
        users = [User.objects.create(username=f"user {index}") for index in range(USERS)]
        tokens = [AuthToken.objects.create(user=users[index % USERS]) for index in range(number)]
    return [(instance.digest, token) for instance, token in tokens]


def application() -> Any:
    """Return the project."""
    return get_wsgi_application()
