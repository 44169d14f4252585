"""The page's event handlers: values of controls in, text for the page out. This module does not use Gradio.

Anyone who can reach the server can call these with any value, whatever the page shows, so all input goes through
`Recipe`. Answers are JSON text with `html` and a few facts; `page.js` puts them in their place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import orjson
from pydantic import ValidationError

from lookalike import Catalog, Results
from lookalike.data.errors import FilterError, LookalikeError, NotAPicture, UsageError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.query import MAX_LIMIT
from lookalike.retrieval.schema import BUILT_IN
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.page.cards import CardFields, title_of
from lookalike.ui.page.chosen_filter import PanelFilter, is_crossed
from lookalike.ui.page.clock import clock_of
from lookalike.ui.page.filter_panel import MAX_OFFERED, is_offered, panel_html
from lookalike.ui.page.item_view import item_html
from lookalike.ui.page.recipe import NOT_OF_THE_PAGE, Recipe, Subject
from lookalike.ui.page.results_view import empty_html, more_html, nothing_html, problem_html, results_html
from lookalike.ui.page.uploads import Uploads
from lookalike.ui.page.welcome import examples_html, header_html
from lookalike.ui.server.messages import public_message
from lookalike.ui.server.metrics import Metrics

__all__ = ["PAGE_ITEMS", "Handlers"]

PAGE_ITEMS = 24

log = logging.getLogger("lookalike")


class Handlers:
    """The event handlers of one catalogue's page. `uploads` are the only pictures that it can be searched with.

    A `session` identifies a visitor, who may search with the pictures uploaded in it.
    """

    def __init__(self, catalog: Catalog, uploads: Uploads, metrics: Metrics) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._metrics = metrics
        self._offered: tuple[str, ...] | None = None
        self._fields = CardFields()

    def opened(self, address: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Return `header`, `examples`, `text`, `without`, `subject`, `panel` and `results` for a page's address."""
        recipe = Recipe.from_address(address)
        try:
            recipe = self._with_subject(recipe)
            items = self._catalog.count()
            self._look_at_fields(items)
            header = header_html(self._catalog.name, items, appearance=self._has_appearance())
            examples = examples_html(self._catalog, items, words=self._catalog.reads_pictures)
        except Exception as error:  # whatever is wrong, the page opens and reports it
            return {"header": header_html(self._catalog.name, 0), "results": self._problem(error)}
        results, panel = self._answer(recipe)
        return {
            "header": header,
            "examples": examples,
            "text": recipe.text,
            "without": recipe.without,
            "subject": _subject_json(recipe.subject),
            "panel": panel,
            "results": results,
            "placeholder": self.placeholder(),
        }

    def placeholder(self) -> str:
        """Return the placeholder of the line for words, which tells what can be entered."""
        if self._catalog.reads_words:
            return "Enter words or add a picture"
        return "Add a picture; this catalogue's model reads no words"

    def searched(self, values: Mapping[str, object], session: str = "") -> tuple[str, str]:
        """Search with the values of the controls; return the results and the panel."""
        try:
            recipe = Recipe.of(values)
        except UsageError as error:
            return self._problem(error), ""
        return self._answer(recipe, session)

    def more(self, recipe: object, offset: object, session: str = "") -> str:
        """Return the next page of a search; `recipe` is JSON text, or its decoded value."""
        try:
            if not isinstance(offset, int) or isinstance(offset, bool):
                raise UsageError(NOT_OF_THE_PAGE)
            asked = (
                Recipe.read(recipe)
                if isinstance(recipe, str)
                else Recipe.of(recipe if isinstance(recipe, dict) else {})
            )
            results = self._search(asked, offset, session)
            html = more_html(results, self._fields, asked=_is_search(asked))
        except Exception as error:
            return self._problem(error)
        return _json(html=html, append=True, next=_next(results, offset), turn=asked.turn)

    def like(self, key: object, values: Mapping[str, object]) -> tuple[str, str, str]:
        """Search for items like one, within the chosen filters; return the results, the panel and the subject."""
        try:
            asked = Recipe.of({**values, "text": "", "without": "", "subject": Subject(key=_key(key))})
        except UsageError as error:
            return self._problem(error), "", ""
        recipe = self._with_subject(asked)
        results, panel = self._answer(recipe)
        return results, panel, _subject_json(recipe.subject)

    def item(self, key: object) -> str:
        """Return the window of one item."""
        try:
            (item,) = self._catalog.get([_key(key)])
            sources = {image.sha256.hex(): image.source for image in item.images}
            shown = [image_id for image_id in sources if self._catalog.thumbnail(image_id)]
            pictures = [(image_id, clock_of(sources[image_id])) for image_id in shown]
            return _json(html=item_html(item, self._fields, pictures))
        except Exception as error:
            return self._problem(error)

    def _answer(self, recipe: Recipe, session: str = "") -> tuple[str, str]:
        """Search and count; return the results and the panel, or a problem in place of the results."""
        try:
            narrowing = PanelFilter.read(recipe.chosen, self._kinds())
            results = self._search(recipe, 0, session, narrowing)
        except Exception as error:
            problem = str(error) if isinstance(error, FilterError) else ""
            return self._problem(error, recipe.turn), self._panel(recipe, None, problem)
        panel = self._panel(recipe, narrowing, found=results.total)
        asked, filtered, upcoming = _is_search(recipe), bool(recipe.chosen.count), _next(results, 0)
        if results.hits:
            least = recipe.min_score
            html = results_html(
                results, self._fields, asked=asked, filtered=filtered, more=upcoming is not None, min_score=least
            )
        elif not filtered and not self._catalog.count():
            html = empty_html(self._catalog.name)
        else:
            kinds = self._kinds()
            crossed = [name for name in narrowing.conditions if is_crossed(name, kinds[name], recipe.chosen)]
            html = nothing_html(filtered=filtered, min_score=recipe.min_score is not None, crossed=crossed)
        facts = recipe.model_dump(mode="json")
        return _json(html=html, recipe=facts, next=upcoming, address=recipe.address(), turn=recipe.turn), panel

    def _search(self, recipe: Recipe, offset: int, session: str, narrowing: PanelFilter | None = None) -> Results:
        picture = recipe.subject.picture
        narrowing = narrowing or PanelFilter.read(recipe.chosen, self._kinds())
        with self._metrics.search("web"):
            return self._catalog.search(
                text=recipe.text or None,
                image=None if picture is None else self._uploads.read(session, picture),
                like=recipe.subject.key,
                without=recipe.without or None,
                filter=narrowing.text(),
                limit=PAGE_ITEMS,
                offset=offset,
                recall="exact" if recipe.exact else 0.95,
                balance=recipe.balance,
                min_score=recipe.min_score if _is_search(recipe) else None,
                appearance=recipe.appearance if self._has_appearance() else None,
            )

    def _has_appearance(self) -> bool:
        return self._catalog.has_appearance

    def _panel(self, recipe: Recipe, narrowing: PanelFilter | None, problem: str = "", found: int | None = None) -> str:
        """Return the panel, with each field counted under the conditions on the other fields."""
        try:
            kinds = self._kinds()
            narrowed = set(narrowing.conditions) if narrowing else set()
            text = narrowing.text() if narrowing else None
            free = [name for name in self._shown() if name not in narrowed]
            counts = {facet.name: facet for facet in self._catalog.facets(free, filter=text, limit=MAX_OFFERED)}
            for name in narrowed.intersection(self._shown()):
                others = narrowing.text(without=name) if narrowing else None
                (counts[name],) = self._catalog.facets([name], filter=others, limit=MAX_OFFERED)
            facets: list[Facet] = [counts[name] for name in self._shown()]
            empty = not kinds.keys() - BUILT_IN.keys() and not self._catalog.count()
            html = "" if empty else panel_html(facets, recipe.chosen, kinds, problem, found)
            return _json(html=html, chosen=recipe.chosen.model_dump(mode="json"), turn=recipe.turn)
        except Exception as error:
            self._note(error)
            return ""

    def _kinds(self) -> Mapping[str, FieldType]:
        return {**BUILT_IN, **self._catalog.schema}

    def _shown(self) -> tuple[str, ...]:
        if self._offered is None:
            self._look_at_fields(self._catalog.count())
        kinds = self._kinds()  # a field may have been renamed or dropped since then
        return tuple(name for name in self._offered or () if name in kinds)

    def _look_at_fields(self, items: int) -> None:
        """Decide which fields the panel and the cards show."""
        facets = self._catalog.facets(limit=1)
        self._fields = CardFields.choose(self._kinds(), facets, bare=not self._catalog.reads_pictures)
        self._offered = tuple(facet.name for facet in facets if is_offered(facet, items))

    def _with_subject(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the title and the thumbnail of the item that hits should be like."""
        key = recipe.subject.key
        if key is None:
            return recipe
        try:
            (item,) = self._catalog.get([key])
        except LookalikeError:
            return recipe
        ids = (image.sha256.hex() for image in item.images)
        thumbnail = next((f"thumbnails/{one}.webp" for one in ids if self._catalog.thumbnail(one)), None)
        subject = Subject(key=key, title=title_of(key, {"title": item.title}), thumbnail=thumbnail)
        return recipe.model_copy(update={"subject": subject})

    def _problem(self, error: Exception, turn: int | None = None) -> str:
        self._note(error)
        facts = {} if turn is None else {"turn": turn}
        return _json(html=problem_html(error), problem=public_message(error), next=None, **facts)

    def _note(self, error: Exception) -> None:
        self._metrics.failed(error)
        if not isinstance(error, UsageError | NotAPicture):
            log.error("The page could not be answered.", exc_info=error)


def _subject_json(subject: Subject) -> str:
    """Return an item to compare with as the page shows it; empty if there is none, or it is gone."""
    if subject.title is None:
        return ""
    return _json(key=subject.key, title=subject.title, thumbnail=subject.thumbnail)


def _is_search(recipe: Recipe) -> bool:
    return bool(recipe.text.strip() or recipe.subject.picture or recipe.subject.key or recipe.without.strip())


def _next(results: Results, offset: int) -> int | None:
    """Return the offset of the next page, or None if there is no next page."""
    upcoming = offset + PAGE_ITEMS
    full = len(results) == PAGE_ITEMS
    return upcoming if full and upcoming < results.total and upcoming + PAGE_ITEMS <= MAX_LIMIT else None


def _key(key: object) -> str:
    try:
        return Subject.model_validate({"key": key}).key or ""
    except ValidationError:
        raise UsageError(NOT_OF_THE_PAGE) from None


def _json(**facts: object) -> str:
    return orjson.dumps(facts).decode()
