"""The layout of the page, and the handler that each event calls.

The handlers are in `handlers.py`, the style in `static/page.css`, the behaviour in `static/page.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lookalike import Catalog
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.page.uploads import session_of
from lookalike.ui.server.bounds import MAX_WAITING_CALLS, MAX_WORDS_LENGTH, PAGE_SEARCHES_AT_ONCE

__all__ = ["create_web", "page_theme"]

_BUSY = "(...values) => lookalike.busy(...values)"
_ASK = "(...values) => lookalike.ask(...values)"
_PARTS_OF_OPENING = ("header", "examples", "text", "without", "subject", "panel", "results")
_IDLE = "() => { lookalike.idle(); }"


def create_web(catalog: Catalog, handlers: Handlers) -> gr.Blocks:
    """Return the page of `catalog`, whose events are answered by `handlers`."""
    page = gr.Blocks(title=catalog.name, analytics_enabled=False, fill_width=True)
    with page:
        header = gr.HTML(elem_id="page-header", padding=False, apply_default_css=False)
        has_model = catalog.reads_pictures
        with gr.Column(elem_id="ask", elem_classes=[] if has_model else ["no-model"]):
            with gr.Row(elem_id="search-row"):
                subject = _part("subject", "input")
                words = gr.Textbox(
                    elem_id="words",
                    placeholder=handlers.placeholder(),
                    label="Words to search for",
                    show_label=False,
                    container=False,
                    max_length=MAX_WORDS_LENGTH,
                    lines=1,
                    max_lines=1,
                )
                search_button = gr.Button("Search", variant="primary", elem_id="go")
            balance = gr.Slider(
                0,
                1,
                0.5,
                step=0.05,
                label="Weight of the words: 0 compares the picture only, 1 the words only",
                elem_id="balance",
                buttons=[],
            )
            appearance = gr.Slider(
                0,
                1,
                1,
                step=0.05,
                label="Comparison of pictures: 0 by what they show, 1 by how they look",
                elem_id="appearance",
                buttons=[],
            )
            with gr.Accordion("More options", open=False, elem_id="options"), gr.Row():
                without = gr.Textbox(
                    elem_id="without",
                    label="Without",
                    info="Results like these words come later.",
                    placeholder="words to avoid",
                    max_length=MAX_WORDS_LENGTH,
                )
                min_score = gr.Textbox(
                    elem_id="min-score",
                    label="Minimum score",
                    info="Results with a lower score are left out.",
                    placeholder="any",
                    max_length=20,
                )
                exact = gr.Checkbox(
                    label="Exact search", info="Every item is compared, which is slower in large catalogues."
                )
        examples = _part("examples", "words", "like")
        with gr.Row(elem_id="found"):
            chosen = _part("chosen")  # the choices in the panel, kept apart so that no answer overwrites newer ones
            panel = _part("panel", "input")
            results = _part("results", "open", "more", "like")
        window = _part("window", "like")
        turn = gr.Textbox("0", visible="hidden", label="turn")

        controls: dict[str, Any] = {
            "text": words,
            "subject": subject,
            "chosen": chosen,
            "without": without,
            "balance": balance,
            "appearance": appearance,
            "exact": exact,
            "min_score": min_score,
            "turn": turn,  # must be last: page.js counts it up
        }

        def values_of(*values: object) -> dict[str, object]:
            return dict(zip(controls, values, strict=True))

        def open_page(request: gr.Request) -> list[object]:
            opened = handlers.opened(list(request.query_params.multi_items()))
            placeholder = opened.get("placeholder") or handlers.placeholder()  # another model may be in use by now
            # Controls that the address does not set are left alone: the visitor may have used them already.
            text = opened.get("text")
            typed = gr.update(value=text, placeholder=placeholder) if text else gr.update(placeholder=placeholder)
            others = {name: opened.get(name) or gr.skip() for name in ("without", "subject")}
            values: dict[str, object] = {**opened, **others, "text": typed}
            return [values.get(name, "") for name in _PARTS_OF_OPENING]

        def search(request: gr.Request, *values: object) -> tuple[str, str]:
            return handlers.searched(values_of(*values), session_of(request.cookies))

        def try_words(event: gr.EventData, *values: object) -> tuple[object, ...]:
            text = str(_event_value(event, "text") or "")
            found = handlers.searched({**values_of(*values), "text": text, "subject": ""})
            return *found, text, ""

        def find_like(event: gr.EventData, *values: object) -> tuple[object, ...]:
            found = handlers.like(_event_value(event, "key"), values_of(*values))
            return *found, "", ""

        def open_item(event: gr.EventData) -> str:
            return handlers.item(_event_value(event, "key"))

        def show_more(event: gr.EventData, request: gr.Request) -> str:
            return handlers.more(
                _event_value(event, "recipe"), _event_value(event, "offset"), session_of(request.cookies)
            )

        def connect(
            event: Callable[..., Any], handler: Callable[..., Any], outputs: list[Any], *, searches: bool
        ) -> None:
            answered = event(
                handler,
                list(controls.values()) if searches else None,
                outputs,
                js=_ASK if searches else _BUSY,
                show_progress="hidden",
                api_visibility="private",
                trigger_mode="multiple",
                concurrency_limit=PAGE_SEARCHES_AT_ONCE,
                concurrency_id="search",
            )
            answered.then(None, js=_IDLE, api_visibility="private")

        connect(page.load, open_page, [header, examples, words, without, subject, panel, results], searches=False)
        for event in (
            search_button.click,
            words.submit,
            without.submit,
            min_score.submit,
            exact.input,
            balance.release,
            appearance.release,
        ):
            connect(event, search, [results, panel], searches=True)
        for event in (subject.input, panel.input):
            connect(event, search, [results, panel], searches=True)
        connect(examples.words, try_words, [results, panel, words, subject], searches=True)
        for event in (examples.like, results.like, window.like):
            connect(event, find_like, [results, panel, subject, words, without], searches=True)
        connect(results.open, open_item, [window], searches=False)
        connect(results.more, show_more, [results], searches=False)
    page.has_launched = True  # otherwise Gradio would accept any file of the machine
    page.queue(api_open=False, max_size=MAX_WAITING_CALLS, default_concurrency_limit=PAGE_SEARCHES_AT_ONCE)
    return page


def _event_value(event: gr.EventData, name: str) -> object:
    """Return one of the values that `page.js` sent with an event, or None if it was not sent."""
    return event._data.get(name) if isinstance(event._data, dict) else None


def _part(name: str, *events: str) -> gr.HTML:
    """Return a part of the page that `page.js` draws and listens to; `events` are the events that it sends."""
    listed = ", ".join(f"'{event}'" for event in events)
    script = f"lookalike.mount('{name}', {{ element, props, trigger, watch, events: [{listed}] }});"
    return gr.HTML(
        "",
        elem_id=name,
        html_template=f"<div class='part {name}-part'></div>",
        js_on_load=script,
        padding=False,
        apply_default_css=False,
    )


def page_theme() -> gr.themes.Base:
    """Return the theme of Gradio's own controls, with system fonts, so that no font is fetched from another site."""
    return gr.themes.Base(
        primary_hue="neutral",
        neutral_hue="neutral",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
