"""URLs of the figures, below those of the admin. Its site decides who may open them."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from dashboard import views

_protected = admin.site.admin_view

app_name = "admin_figures"
urlpatterns = [
    path("verifications/", _protected(views.verifications), name="verifications"),
    path("verifications/tenant/<str:tenant_id>/", _protected(views.verifications_of_tenant), name="of_tenant"),
    path("verifications/agent/<str:agent_id>/", _protected(views.verifications_of_agent), name="of_agent"),
    path("verifications/key/<str:key_id>/", _protected(views.verifications_of_key), name="of_key"),
    path("verification-times/", _protected(views.verification_times), name="verification_times"),
]
