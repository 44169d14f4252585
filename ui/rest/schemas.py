"""Bodies of the REST API's requests and answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator

from lookalike import Hit, Results, StoredItem
from lookalike.data.item import MAX_KEY_LENGTH, Value
from lookalike.retrieval.query import OPTIONS
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.result_json import hit_json, results_json
from lookalike.ui.server.bounds import (
    MAX_DELETED_KEYS,
    MAX_DIM,
    MAX_MOMENT_LENGTH,
    MAX_PARAM_VALUES,
    MAX_PARAMS,
    MAX_PARTS,
    MAX_RETURNED_FIELDS,
    MAX_TEXT_LENGTH,
)

__all__ = [
    "DeleteRequest",
    "Deleted",
    "ErrorAnswer",
    "FacetBody",
    "FacetsAnswer",
    "HitBody",
    "ImageBody",
    "ItemAnswer",
    "SearchAnswer",
    "SearchRequest",
    "json_value",
]


def _few_values(params: object) -> object:
    if not isinstance(params, dict):
        return params
    if len(params) > MAX_PARAMS:
        raise ValueError(f"at most {MAX_PARAMS:,} names are read, not {len(params):,}")
    values = sum(len(value) if isinstance(value, list | dict) else 1 for value in params.values())
    if values > MAX_PARAM_VALUES:
        raise ValueError(f"at most {MAX_PARAM_VALUES:,} values are read, not {values:,}")
    return params


Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
Texts = Annotated[list[Text], Field(max_length=MAX_PARTS)]
Key = Annotated[str, Field(max_length=MAX_KEY_LENGTH)]
Keys = Annotated[list[Key], Field(max_length=MAX_PARTS)]
Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]
"""A number with all its digits, even if its float64 lies between other whole numbers."""

Scalar = bool | int | float | Number | Text
Parameter = Scalar | list[Scalar]
Parameters = Annotated[dict[Key, Parameter], Field(max_length=MAX_PARAMS), BeforeValidator(_few_values)]
Moment = int | Annotated[str, Field(max_length=MAX_MOMENT_LENGTH)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _option(name: str, **more: Any) -> Any:  # noqa: ANN401  # Pydantic's field
    """Return the field of a query's option, with the default and the description that `Query` declares."""
    option = OPTIONS[name]
    return Field(None if option.default == () else option.default, description=option.help, **more)


class SearchRequest(BaseModel):
    """A query. Parts may be combined; without any, items come in the order they were added."""

    model_config = ConfigDict(extra="forbid")

    text: Text | Texts | None = _option("text", examples=["a cup of coffee"])
    like: Key | Keys | None = _option("like")
    vector: Annotated[list[Finite], Field(max_length=MAX_DIM)] | None = _option("vector")
    without: Text | Texts | None = _option("without")
    filter: Text | None = _option("filter", examples=["price < {most}"])
    params: Parameters | None = _option("params")
    limit: int = _option("limit")
    offset: int = _option("offset")
    recall: float | Key = _option("recall")
    balance: Finite = _option("balance")
    min_score: Finite | None = _option("min_score")
    fields: Annotated[list[Key], Field(max_length=MAX_RETURNED_FIELDS)] | None = _option("fields")
    as_of: Moment | None = _option("as_of")
    appearance: Finite | None = _option("appearance")

    @model_validator(mode="after")
    def _few_words(self) -> SearchRequest:
        given = [one for one in (self.text, self.without) if one is not None]
        words = sum(len(one) if isinstance(one, str) else sum(map(len, one)) for one in given)
        if words > MAX_TEXT_LENGTH:
            raise ValueError(
                f"text and without have {words:,} characters together; at most {MAX_TEXT_LENGTH:,} are read"
            )
        return self


class HitBody(BaseModel):
    """One item found."""

    key: str
    score: float
    scores: dict[str, float]
    image: str | None = Field(description="The picture that matched, as the feed named it.")
    fields: dict[str, JsonValue]
    thumbnail: str | None = Field(description="The address of a small WebP of that picture.")


class SearchAnswer(BaseModel):
    """Hits, best first, and how they were found."""

    hits: list[HitBody]
    exact: bool = Field(description="Whether no better item can have been missed.")
    plan: str
    took_ms: float
    total: int = Field(description="The number of items that satisfy the filter.")
    notices: list[str]

    @classmethod
    def of(cls, results: Results, thumbnails: list[str | None]) -> SearchAnswer:
        """Build the answer; `thumbnails` are the addresses of the hits' pictures."""
        hits = [_hit(hit, address) for hit, address in zip(results, thumbnails, strict=True)]
        return cls.model_validate({**results_json(results), "hits": hits})


class ImageBody(BaseModel):
    """One picture of an item."""

    source: str = Field(description="As the feed named it.")
    width: int
    height: int
    thumbnail: str | None


class ItemAnswer(BaseModel):
    """One item."""

    key: str
    title: str | None
    fields: dict[str, JsonValue]
    images: list[ImageBody]

    @classmethod
    def of(cls, item: StoredItem, thumbnails: list[str | None]) -> ItemAnswer:
        """Build the answer; `thumbnails` are the addresses of the item's pictures."""
        images = [
            ImageBody(source=image.source, width=image.width, height=image.height, thumbnail=address)
            for image, address in zip(item.images, thumbnails, strict=True)
        ]
        fields = {name: json_value(value) for name, value in item.fields.items()}
        return cls(key=item.key, title=item.title, fields=fields, images=images)


class FacetBody(BaseModel):
    """One field: its values with their counts, the most frequent first, or its range."""

    name: str
    type: str
    values: list[tuple[str | bool, int]]
    distinct: int
    low: JsonValue
    high: JsonValue

    @classmethod
    def of(cls, facet: Facet) -> FacetBody:
        """Build the body."""
        return cls(
            name=facet.name,
            type=facet.type.value,
            values=list(facet.values),
            distinct=facet.distinct,
            low=json_value(facet.low),
            high=json_value(facet.high),
        )


class FacetsAnswer(BaseModel):
    """Fields from which filters can be built."""

    facets: list[FacetBody]


class DeleteRequest(BaseModel):
    """The items to delete: keys, or all items that satisfy a filter."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Key], Field(max_length=MAX_DELETED_KEYS)] | None = None
    filter: Text | None = None
    params: Parameters | None = None


class Deleted(BaseModel):
    """The number of items deleted."""

    deleted: int


class _Error(BaseModel):
    type: str = Field(description="The name of the error's class.")
    message: str = Field(description="A sentence that tells what is wrong and what to do.")


class ErrorAnswer(BaseModel):
    """The answer to every request that fails."""

    error: _Error


def json_value(value: Value) -> JsonValue:
    """Return a field's value as JSON, times as ISO 8601 text."""
    return value.isoformat() if isinstance(value, datetime) else cast(JsonValue, value)


def _hit(hit: Hit, thumbnail: str | None) -> dict[str, object]:
    fields = {name: json_value(value) for name, value in hit.fields.items()}
    return {**hit_json(hit), "fields": fields, "thumbnail": thumbnail}
