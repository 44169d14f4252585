"""The values of the page's controls, checked as the input of a public endpoint, and their form in a page address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lookalike.data.errors import UsageError
from lookalike.data.item import MAX_KEY_LENGTH
from lookalike.ui.server.bounds import MAX_CHOSEN, MAX_TEXT_LENGTH, MAX_WORDS_LENGTH

__all__ = ["NOT_OF_THE_PAGE", "Chosen", "Recipe", "Subject"]

NOT_OF_THE_PAGE = "The page sent something that cannot be read; reload the page and try again."
"""The message for input that the page itself never sends."""


def _is_text(value: str) -> str:
    value.encode()  # half of a surrogate pair has no UTF-8, and raises a ValueError
    return value


Text = Annotated[str, AfterValidator(_is_text)]
ShortText = Annotated[Text, Field(max_length=MAX_KEY_LENGTH)]
Words = Annotated[Text, Field(max_length=MAX_WORDS_LENGTH)]
FewTexts = Annotated[list[ShortText], Field(max_length=MAX_CHOSEN)]


class Subject(BaseModel):
    """The thing that hits should look like: an uploaded picture by its id, or an item by its key.

    The page displays `title` and `thumbnail` of an item and sends them back; the search does not use them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: ShortText | None = None
    key: ShortText | None = None
    title: Text | None = None
    thumbnail: Text | None = None


class Chosen(BaseModel):
    """The filter panel: values ticked, ranges typed, and an expression."""

    model_config = ConfigDict(frozen=True)

    values: Annotated[dict[ShortText, FewTexts], Field(max_length=MAX_CHOSEN)] = {}
    low: Annotated[dict[ShortText, ShortText], Field(max_length=MAX_CHOSEN)] = {}
    high: Annotated[dict[ShortText, ShortText], Field(max_length=MAX_CHOSEN)] = {}
    expression: Annotated[Text, Field(max_length=MAX_TEXT_LENGTH)] = ""

    @model_validator(mode="after")
    def _few(self) -> Chosen:
        if sum(map(len, self.values.values())) > MAX_CHOSEN:
            raise ValueError("too many values are ticked")
        return self

    @property
    def count(self) -> int:
        """The number of conditions."""
        ranges = {name for bounds in (self.low, self.high) for name, bound in bounds.items() if bound.strip()}
        return sum(map(len, self.values.values())) + len(ranges) + bool(self.expression.strip())


class Recipe(BaseModel):
    """One search of the page. `turn` counts searches and comes back with the answer, to recognise late answers."""

    model_config = ConfigDict(frozen=True)

    text: Words = ""
    subject: Subject = Subject()
    without: Words = ""
    chosen: Chosen = Chosen()
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    appearance: Annotated[float, Field(ge=0, le=1)] = 1.0
    exact: bool = False
    min_score: Annotated[float | None, Field(allow_inf_nan=False)] = None
    turn: Annotated[int, Field(ge=0, lt=2**53)] = 0

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Recipe:
        """Read the values of the page's controls; JSON text is decoded.

        Raises:
            UsageError: a value is not one that the page sends, or a text is too long.
        """
        plain = {name: value for name, value in values.items() if value is not None and value != ""}
        try:
            for name, kind in (("subject", Subject), ("chosen", Chosen)):
                if isinstance(sent := plain.get(name), str):
                    plain[name] = kind.model_validate_json(sent)
            return cls.model_validate(plain)
        except ValidationError as error:
            raise UsageError(_problem(error)) from None

    @classmethod
    def read(cls, text: str) -> Recipe:
        """Read a recipe from the JSON text that an answer carried.

        Raises:
            UsageError: the text is not a recipe.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UsageError(_problem(error)) from None

    @classmethod
    def from_address(cls, parameters: Iterable[tuple[str, str]]) -> Recipe:
        """Read the part of a page's address after the question mark, leaving out parts that are not valid."""
        plain: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        bounds: dict[str, dict[str, str]] = {"min": {}, "max": {}}
        for name, value in parameters:
            kind, dot, field = name.partition(".")
            if dot and kind == "in":
                values.setdefault(field, []).append(value)
            elif dot and kind in bounds:
                bounds[kind][field] = value
            else:
                plain[name] = value
        try:
            return cls(
                text=plain.get("q", ""),
                subject=Subject(key=plain.get("like")),
                without=plain.get("without", ""),
                chosen=Chosen(values=values, low=bounds["min"], high=bounds["max"], expression=plain.get("filter", "")),
            )
        except ValidationError:
            return cls()

    def address(self) -> str:
        """Return the search as the query string of an address, without an uploaded picture."""
        pairs = [("q", self.text), ("like", self.subject.key or ""), ("without", self.without)]
        pairs += [(f"in.{name}", value) for name, values in self.chosen.values.items() for value in values]
        pairs += [(f"min.{name}", value) for name, value in self.chosen.low.items()]
        pairs += [(f"max.{name}", value) for name, value in self.chosen.high.items()]
        pairs.append(("filter", self.chosen.expression))
        return urlencode([(name, value) for name, value in pairs if value.strip()])


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "string_too_long":
        return f"A text is too long; at most {first['ctx']['max_length']:,} characters are read."
    if first["loc"][:1] == ("min_score",):
        return "The minimum score is not a number; enter one such as 0.5, or leave it empty."
    return NOT_OF_THE_PAGE
