from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from lookalike import Catalog
from lookalike.ui.server.server import create_app
from tests.running import call, call_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Catalog.create(tmp_path / "shop", dim=2) as catalog:
        catalog.add_vectors(["a", "b"], np.eye(2), {"price": [1.0, 2.0], "tags": [["x"], ["y"]]}, titles=["A", "B"])
        catalog.add_field("added", "timestamp")
        catalog.delete(keys=["b"])
    return tmp_path / "shop"


def test_update_reads_values_as_the_fields_types(folder: Path) -> None:
    options = ("--set", "price=9.5", "--set", "tags=p|q", "--set", "added=2026-05-31", "--set", "title=New = old")
    assert call_json("update", folder, "a", *options) == {"commit": 4}
    with Catalog.open(folder) as catalog:
        (item,) = catalog.get(["a"])
    assert item.title == "New = old"
    assert item.fields == {"price": 9.5, "tags": ["p", "q"], "added": datetime(2026, 5, 31, tzinfo=UTC)}
    call("update", folder, "a", "--unset", "price", "--unset", "title")
    with Catalog.open(folder) as catalog:
        (item,) = catalog.get(["a"])
    assert (item.title, item.fields["price"], item.fields["tags"]) == (None, None, ["p", "q"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a", "--set", "price=cheap"), 2, "The field 'price' holds numbers; 'cheap' cannot be read as that"),
        (("a", "--set", "colour=red"), 2, "There is no field 'colour'; the fields are title, price, tags, added"),
        (("a", "--unset", "colour"), 2, "There is no field 'colour'"),
        (("a", "--set", "price"), 2, "'price' is no assignment. Write FIELD=VALUE"),
        (("a",), 2, "Say what to change"),
        (("b", "--set", "price=1"), 1, "no item with the key 'b'"),
    ],
)
def test_a_wrong_update_says_why(folder: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    assert said in " ".join(call("update", folder, *arguments, code=code).split())


def test_log_lists_commits_newest_first(folder: Path) -> None:
    commits = call_json("log", folder)["commits"]
    facts = [(one["seq"], one["summary"], one["added"], one["updated"], one["deleted"]) for one in commits]
    assert facts == [(3, "delete", 0, 0, 1), (2, "add field added", 0, 0, 0), (1, "add vectors", 2, 0, 0)]
    assert all(datetime.fromisoformat(one["time"]).tzinfo for one in commits)
    assert [one["seq"] for one in call_json("log", folder, "--limit", "1")["commits"]] == [3]
    assert "add vectors" in call("log", folder)


def test_log_of_an_empty_catalog_says_so(tmp_path: Path) -> None:
    Catalog.create(tmp_path / "empty", dim=2).close()
    assert "Nothing has been written yet" in call("log", tmp_path / "empty")


def test_search_as_of_a_commit_and_a_time(folder: Path) -> None:
    for moment in ("2", call_json("log", folder)["commits"][1]["time"]):
        assert [hit["key"] for hit in call_json("search", folder, "--as-of", moment)["hits"]] == ["a", "b"]
    assert [hit["key"] for hit in call_json("search", folder)["hits"]] == ["a"]
    assert "no commit 9 yet" in " ".join(call("search", folder, "--as-of", "9", code=2).split())


def test_purge_removes_earlier_states(folder: Path) -> None:
    found = call_json("purge", folder, "--older-than", "3")
    assert (found["oldest_commit"], found["rows"], found["thumbnails"]) == (3, 4, 0)
    assert found["bytes_reclaimed"] >= 0
    assert "the oldest that is kept is commit 3" in " ".join(call("search", folder, "--as-of", "2", code=2).split())
    assert "commit 3" in call("purge", folder, "--older-than", "30d")
    assert "is not a moment" in " ".join(call("purge", folder, "--older-than", "long ago", code=2).split())


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with Catalog.open(folder) as catalog, TestClient(create_app(catalog)) as made:
        yield made


def test_rest_answers_as_of_a_commit(client: TestClient) -> None:
    for moment in (2, "2"):
        answer = client.post("/api/v1/search", json={"as_of": moment})
        assert [hit["key"] for hit in answer.json()["hits"]] == ["a", "b"]
    assert client.get("/api/v1/items/b", params={"as_of": "2"}).json()["fields"]["price"] == 2.0
    assert client.get("/api/v1/items/b").status_code == 404
    answer = client.post("/api/v1/search", json={"as_of": "2999-01-01"})
    assert answer.status_code == 422 and "future" in answer.text
