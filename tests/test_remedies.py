from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lookalike import Catalog
from lookalike.data import errors
from lookalike.data.errors import (
    CatalogDamaged,
    CatalogNotFound,
    FetchFailed,
    FieldTypeError,
    FilterError,
    ItemNotFound,
    LookalikeError,
    MissingDependency,
    NotAPicture,
    UsageError,
)
from lookalike.ui.errors import exit_code_of, status_of
from lookalike.ui.server.messages import UNEXPECTED, public_message, public_words
from lookalike.ui.server.server import create_app
from tests.running import call

KINDS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, LookalikeError)]


def test_the_text_of_an_error_is_its_message_and_its_remedy() -> None:
    error = CatalogNotFound("There is no catalog at shop.", remedy="Make one.")
    assert (error.message, error.remedy) == ("There is no catalog at shop.", "Make one.")
    assert str(error) == "There is no catalog at shop. Make one."
    assert str(CatalogNotFound("There is no catalog at shop.")) == "There is no catalog at shop."


@pytest.mark.parametrize(
    "error",
    [
        FilterError("It cannot be read.", position=3, remedy="Close the quote."),
        FieldTypeError("It does not fit.", field="price", expected="float", found="str"),
        FetchFailed("No answer.", temporary=True, remedy="Try again."),
        ItemNotFound("a"),
        MissingDependency("clip"),
    ],
)
def test_an_error_arrives_whole_from_another_process(error: LookalikeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and vars(copy) == vars(error) and str(copy) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code_a_status_and_a_place_in_the_tree(kind: type[LookalikeError]) -> None:
    error = kind.__new__(kind)
    assert exit_code_of(error) in (1, 2) and 400 <= status_of(error) < 600
    assert f" {kind.__name__} " in f"{errors.__doc__} " or kind is LookalikeError
    assert kind.__name__ in errors.__all__


def test_the_command_line_prints_the_remedy_on_a_line_of_its_own(tmp_path: Path) -> None:
    shown = call("search", tmp_path / "none", "x", code=1)
    assert "".join(shown.split("Make one")[0].split()).endswith("none.")
    assert "\nMake one with: lookalike index" in shown


def test_the_api_sends_the_remedy_as_a_field(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=3) as catalog:
        with TestClient(create_app(catalog, api_key="sesame")) as client:
            error = client.get("/api/v1/items").json()["error"]
            assert error["remedy"].startswith("Send it as Authorization: Bearer")
        with TestClient(create_app(catalog)) as client:
            error = client.post("/api/v1/search", json={"filter": " "}).json()["error"]
    assert error == {
        "type": "FilterError",
        "message": "The filter is empty.",
        "remedy": "Leave it out to search everything.",
    }


def test_a_caller_reads_the_words_about_the_call_and_none_about_the_machine() -> None:
    picture = NotAPicture("The picture has too many scans (1,000).", remedy="Save it again as JPEG or PNG.")
    assert public_words(picture) == (picture.message, picture.remedy)
    assert public_message(picture) == str(picture)
    assert public_words(UsageError("The limit is 0.")) == ("The limit is 0.", "")
    damaged = CatalogDamaged("/srv/shop/records.sqlite is damaged.", remedy="Run: lookalike repair /srv/shop")
    assert public_words(damaged).message == "The catalog's records cannot be trusted."
    assert public_words(OSError("/srv/shop")) == UNEXPECTED
    assert not any("/srv" in text for error in (damaged, OSError("/srv")) for text in public_words(error))
