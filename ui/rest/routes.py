"""The REST API's routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from lookalike import Catalog, Results
from lookalike.data.errors import UsageError
from lookalike.data.item import MAX_KEY_LENGTH
from lookalike.ui.page.uploads import FormLimit, full_disk_as_507
from lookalike.ui.rest.request_json import JsonReader, json_value_of, validated
from lookalike.ui.rest.schemas import (
    Deleted,
    DeleteRequest,
    ErrorAnswer,
    FacetBody,
    FacetsAnswer,
    ItemAnswer,
    Key,
    SearchAnswer,
    SearchRequest,
)
from lookalike.ui.server.bodies import FORM, is_form
from lookalike.ui.server.bounds import (
    MAX_FACET_FIELDS,
    MAX_FACET_VALUES,
    MAX_FORM_FIELDS,
    MAX_IMAGES,
    MAX_MOMENT_LENGTH,
    MAX_PICTURE_SEARCHES,
    MAX_TEXT_LENGTH,
    MAX_WAITING_FORMS,
)
from lookalike.ui.server.forms import read_form
from lookalike.ui.server.metrics import Metrics

__all__ = ["create_api"]

_LISTS = ("text", "like", "without")
_AS_JSON = ("params", "vector")

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "There is no such item."},
    413: {"model": ErrorAnswer, "description": "The request is too large."},
    422: {"model": ErrorAnswer, "description": "The request is not valid; the message says why."},
    503: {"model": ErrorAnswer, "description": "Too many requests are in progress; try again in a few seconds."},
}
_SEARCH_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SearchRequest.model_json_schema()},
            FORM: {
                "schema": {
                    "type": "object",
                    "description": "The same fields, repeated for several values; params and vector as JSON text.",
                    "properties": {"image": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
        },
    }
}
_DELETE_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": DeleteRequest.model_json_schema()}}}
}


def create_api(catalog: Catalog, metrics: Metrics) -> APIRouter:
    """Build the routes under /api/v1."""
    api = APIRouter(prefix="/api/v1", responses=_ERRORS)
    with_pictures = asyncio.Semaphore(MAX_PICTURE_SEARCHES)
    reader = JsonReader()
    forms = FormLimit(MAX_PICTURE_SEARCHES + MAX_WAITING_FORMS)

    def address(request: Request, image_id: str | None) -> str | None:
        if image_id is None or catalog.thumbnail(image_id) is None:
            return None
        return f"{request.scope.get('root_path', '')}/thumbnails/{image_id}.webp"

    def find(query: SearchRequest, images: list[bytes]) -> Results:
        with metrics.search("rest"):
            return catalog.search(image=images or None, **query.model_dump())

    @api.post("/search", summary="Search by words, pictures, items and vectors", openapi_extra=_SEARCH_BODIES)
    async def search(request: Request) -> SearchAnswer:
        """Send JSON, or a form with pictures as files named image; parts may be combined."""
        if not is_form(request.headers):
            query = await reader.read(SearchRequest, request)
            results = await run_in_threadpool(find, query, [])
        else:
            with forms.slot():
                async with _form(request) as form, with_pictures:
                    query, images = await _read(form)
                    results = await run_in_threadpool(find, query, images)
        return SearchAnswer.of(results, [address(request, hit.image_id) for hit in results])

    @api.get("/items/{key:path}", summary="Get one item")
    def item(
        key: Annotated[str, Path(max_length=MAX_KEY_LENGTH)],
        request: Request,
        as_of: Annotated[
            str | None, Query(max_length=MAX_MOMENT_LENGTH, description="A commit's number or an ISO 8601 time.")
        ] = None,
    ) -> ItemAnswer:
        """Return an item's fields and pictures, now or as they were."""
        (found,) = catalog.get([key], as_of=as_of)
        return ItemAnswer.of(found, [address(request, image.sha256.hex()) for image in found.images])

    @api.delete("/items", summary="Delete items by key or by filter", openapi_extra=_DELETE_BODY)
    async def delete(request: Request) -> Deleted:
        """Delete the items with these keys, or all that satisfy a filter; the next search no longer finds them."""
        asked = await reader.read(DeleteRequest, request)
        deleted = await run_in_threadpool(catalog.delete, asked.keys, filter=asked.filter, params=asked.params)
        return Deleted(deleted=deleted)

    @api.get("/facets", summary="Count the values of fields")
    def facets(
        field: Annotated[
            list[Key] | None, Query(max_length=MAX_FACET_FIELDS, description="Fields to count; all by default.")
        ] = None,
        filter: Annotated[
            str | None, Query(max_length=MAX_TEXT_LENGTH, description="Count only items that satisfy this.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_FACET_VALUES, description="The number of values of each field.")] = 50,
    ) -> FacetsAnswer:
        """Return the values of fields with their counts, or their ranges, to build filters from."""
        return FacetsAnswer(facets=[FacetBody.of(one) for one in catalog.facets(field, filter=filter, limit=limit)])

    @api.get("/info", summary="Get the catalog's models, counts and size")
    def info() -> dict[str, Any]:
        """Return the same facts as `lookalike info --json`."""
        return asdict(catalog.info())

    return api


@contextlib.asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """Receive a form, whose files are on the disk until the end of the block."""
    with full_disk_as_507():
        form = await read_form(request, max_files=MAX_IMAGES, max_fields=MAX_FORM_FIELDS)
    try:
        yield form
    finally:
        await form.close()


async def _read(form: FormData) -> tuple[SearchRequest, list[bytes]]:
    """Read a query and its pictures from a form."""
    if any(not isinstance(one, UploadFile) for one in form.getlist("image")):
        raise UsageError("The field 'image' is text; send the picture as a file.")
    query = await run_in_threadpool(lambda: validated(SearchRequest, _plain(form)))
    return query, [await one.read() for one in form.getlist("image") if isinstance(one, UploadFile)]


def _plain(form: FormData) -> dict[str, Any]:
    """Return a form's fields as an equivalent JSON body."""
    plain: dict[str, Any] = {}
    for name in form:
        if name == "image":
            continue
        values = form.getlist(name)
        if not all(isinstance(value, str) for value in values):
            raise UsageError(f"The field {name!r} is a file; pictures are sent as fields named image.")
        plain[name] = values if name in _LISTS else values[-1]
        if name in _AS_JSON:
            try:
                plain[name] = json_value_of(str(values[-1]).encode())
            except ValueError:
                raise UsageError(f"The field {name!r} is not JSON text.") from None
    return plain
