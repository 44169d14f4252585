from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

import lookalike.retrieval.core
import lookalike.retrieval.search.catalog_models
import lookalike.retrieval.search.searcher
from lookalike import Catalog, FilterError, Query, UsageError
from lookalike.models import Matrix
from lookalike.retrieval.query import MAX_LIMIT, OPTIONS
from lookalike.ui.cli.main import app
from lookalike.ui.page.recipe import Recipe
from lookalike.ui.rest.schemas import SearchRequest
from tests.fakes import ColourEncoder
from tests.web_shop import make_shop

NOT_ON_THE_COMMAND_LINE = {"params", "vector"}
NOT_IN_A_BODY = {"image"}
"""Pictures are the files of a form."""


def test_every_option_is_a_keyword_of_search_with_the_same_default() -> None:
    keywords = inspect.signature(Catalog.search).parameters
    assert list(keywords)[1:] == list(OPTIONS)
    for name, option in OPTIONS.items():
        expected = None if option.default == () else option.default
        assert keywords[name].default == expected, name


def test_every_option_is_a_field_of_the_rest_body_with_the_same_default_and_range() -> None:
    body = SearchRequest.model_fields
    assert set(body) == set(OPTIONS) - NOT_IN_A_BODY
    schema = SearchRequest.model_json_schema()["properties"]
    for name in body:
        option = OPTIONS[name]
        default = body[name].get_default(call_default_factory=True)
        assert default == option.default or (default in (None, [], ()) and option.default in (None, ())), name
        assert schema[name].get("minimum", option.low) == option.low, name


def test_every_option_is_one_of_the_search_command() -> None:
    command: Any = get_command(app).commands["search"]  # type: ignore[attr-defined]
    names = {parameter.name for parameter in command.params} - {"catalog", "json"}
    assert names == set(OPTIONS) - NOT_ON_THE_COMMAND_LINE
    for parameter in command.params:
        option = OPTIONS.get(parameter.name)
        if option is not None and option.default not in ((), None):
            assert str(parameter.default) == str(option.default), parameter.name


def test_the_page_asks_with_the_same_defaults() -> None:
    assert Recipe().balance == OPTIONS["balance"].default
    assert Recipe().min_score == OPTIONS["min_score"].default


def test_a_query_cannot_be_changed_and_has_help_for_every_option() -> None:
    query = Query(text=["red"], limit=3)
    with pytest.raises(FrozenInstanceError):
        query.limit = 4  # type: ignore[misc]
    assert all(option.help.endswith((".", '".')) for option in OPTIONS.values())
    assert {one.name for one in fields(Query) if one.init} == set(OPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"limit": 0}, UsageError, "limit is 0"),
        ({"limit": MAX_LIMIT + 1}, UsageError, "limit is 10001"),
        ({"limit": True}, UsageError, "limit is True"),
        ({"limit": 2.5}, UsageError, "limit is 2.5"),
        ({"offset": -1}, UsageError, "offset is -1"),
        ({"recall": 0}, UsageError, "recall is 0"),
        ({"recall": 1.5}, UsageError, "recall is 1.5"),
        ({"balance": 1.5}, UsageError, r"balance is 1.5; it can be 0 \(pictures only\) to 1 \(words only\)"),
        ({"balance": float("nan")}, UsageError, "balance is nan"),
        ({"min_score": "high"}, UsageError, "least score is 'high'"),
        ({"appearance": -0.5}, UsageError, "share of the appearance is -0.5"),
        ({"filter": "price <"}, FilterError, "price <"),
        ({"filter": "price < {most}"}, FilterError, "most"),
        ({"params": {"most": 3}}, FilterError, "no filter"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Query(**options)


def test_loading_a_model_is_no_part_of_the_time_of_a_search(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def load(name: str, **_: object) -> ColourEncoder:
        nonlocal now
        now += 5.0
        return encoder

    def encode(texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        nonlocal now
        now += 0.25
        return encode_texts_and_titles(texts)

    make_shop(tmp_path).close()
    clock = SimpleNamespace(perf_counter=lambda: now)
    encode_texts_and_titles = encoder.encode_texts_and_titles
    monkeypatch.setattr(encoder, "encode_texts_and_titles", encode)
    monkeypatch.setattr(lookalike.retrieval.core, "load_encoder", load)
    monkeypatch.setattr(lookalike.retrieval.search.searcher, "time", clock)
    monkeypatch.setattr(lookalike.retrieval.search.catalog_models, "time", clock)
    with Catalog.open(tmp_path / "shop") as catalog:
        assert [catalog.search(text).took_ms for text in ("red", "red", "blue")] == [250.0, 0.0, 250.0]
        assert now == 5.5
