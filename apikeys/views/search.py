"""The view of the search over all of a person's tenants."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.search import search
from apikeys.serializers.search import SearchQuerySerializer, SearchRequest, SearchResponse
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V1View


class SearchView(V1View):
    @operation(
        "Find agents, keys and members by name or id in all of one's tenants",
        tag="search",
        token=TokenScope.READ,
        query=SearchQuerySerializer,
        response=SearchResponse,
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        return self._respond_found(self.validated_query(SearchQuerySerializer))

    @operation(
        "Find as with GET, or the key of a whole secret, which belongs in no URL",
        tag="search",
        token=TokenScope.READ,
        request=SearchRequest,
        response=SearchResponse,
        errors=(404,),
    )
    def post(self, request: Request) -> Response:
        return self._respond_found(self.validated_data(SearchRequest))

    def _respond_found(self, wanted: dict[str, Any]) -> Response:
        found = search(self.actor, wanted["q"], wanted.get("tenant_id"))
        return self.respond(SearchResponse(found).data, message=_("Done"))
