"""The page: layout and wiring only. What happens on an event is in `handlers.py`, how it looks in `page.css`."""

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
_OPENED = ("header", "examples", "text", "without", "subject", "panel", "results")
_IDLE = "() => { lookalike.idle(); }"


def create_web(catalog: Catalog, handlers: Handlers) -> gr.Blocks:
    """Lay the page out and connect its events."""
    page = gr.Blocks(title=catalog.name, analytics_enabled=False, fill_width=True)
    with page:
        header = gr.HTML(elem_id="page-header", padding=False, apply_default_css=False)
        with gr.Column(elem_id="ask", visible=catalog.reads_pictures):
            with gr.Row(elem_id="search-row"):
                subject = _part("subject", "input")
                words = gr.Textbox(
                    elem_id="words",
                    placeholder=handlers.placeholder(),
                    label="What you look for",
                    show_label=False,
                    container=False,
                    max_length=MAX_WORDS_LENGTH,
                    lines=1,
                    max_lines=1,
                )
                go = gr.Button("Search", variant="primary", elem_id="go")
            balance = gr.Slider(
                0,
                1,
                0.5,
                step=0.05,
                label="Weight of the words beside the picture, from none to all",
                elem_id="balance",
                buttons=[],
            )
            looks = gr.Slider(
                0,
                1,
                1,
                step=0.05,
                label="How pictures are compared, from what they show to how they look",
                elem_id="looks",
                buttons=[],
            )
            with gr.Accordion("More options", open=False, elem_id="options"), gr.Row():
                without = gr.Textbox(label="Without", placeholder="less like these words", max_length=MAX_WORDS_LENGTH)
                least = gr.Textbox(label="Least score", placeholder="any", max_length=20)
                exact = gr.Checkbox(label="Exact search", info="Compare with every item; slower when there are many")
        examples = _part("examples", "words", "like")
        with gr.Row(elem_id="found"):
            chosen = _part("chosen")  # what the panel says, apart from what draws it: no answer overwrites new ticks
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
            "looks": looks,
            "exact": exact,
            "min_score": least,
            "turn": turn,  # the last: page.js counts it up
        }

        def values_of(*values: object) -> dict[str, object]:
            return dict(zip(controls, values, strict=True))

        def open_page(request: gr.Request) -> list[object]:
            found = handlers.opened(list(request.query_params.multi_items()))
            placeholder = found.get("placeholder") or handlers.placeholder()  # the model may have been changed
            # What the address does not say is left as it is: it may have been given while the page was opened.
            text = found.get("text")
            words_said = gr.update(value=text, placeholder=placeholder) if text else gr.update(placeholder=placeholder)
            said = {name: found.get(name) or gr.skip() for name in ("without", "subject")}
            values: dict[str, object] = {**found, **said, "text": words_said}
            return [values.get(name, "") for name in _OPENED]

        def search(request: gr.Request, *values: object) -> tuple[str, str]:
            return handlers.searched(values_of(*values), session_of(request.cookies))

        def try_words(event: gr.EventData, *values: object) -> tuple[object, ...]:
            text = str(_sent(event, "text") or "")
            found = handlers.searched({**values_of(*values), "text": text, "subject": ""})
            return *found, text, ""

        def find_like(event: gr.EventData, *values: object) -> tuple[object, ...]:
            found = handlers.like(_sent(event, "key"), values_of(*values))
            return *found, "", ""

        def open_item(event: gr.EventData) -> str:
            return handlers.item(_sent(event, "key"))

        def show_more(event: gr.EventData, request: gr.Request) -> str:
            return handlers.more(_sent(event, "recipe"), _sent(event, "offset"), session_of(request.cookies))

        def connect(listen: Callable[..., Any], act: Callable[..., Any], outputs: list[Any], *, ask: bool) -> None:
            done = listen(
                act,
                list(controls.values()) if ask else None,
                outputs,
                js=_ASK if ask else _BUSY,
                show_progress="hidden",
                api_visibility="private",
                trigger_mode="multiple",
                concurrency_limit=PAGE_SEARCHES_AT_ONCE,
                concurrency_id="search",
            )
            done.then(None, js=_IDLE, api_visibility="private")

        connect(page.load, open_page, [header, examples, words, without, subject, panel, results], ask=False)
        for listen in (
            go.click,
            words.submit,
            without.submit,
            least.submit,
            exact.input,
            balance.release,
            looks.release,
        ):
            connect(listen, search, [results, panel], ask=True)
        for listen in (subject.input, panel.input):
            connect(listen, search, [results, panel], ask=True)
        connect(examples.words, try_words, [results, panel, words, subject], ask=True)
        for listen in (examples.like, results.like, window.like):
            connect(listen, find_like, [results, panel, subject, words, without], ask=True)
        connect(results.open, open_item, [window], ask=False)
        connect(results.more, show_more, [results], ask=False)
    page.has_launched = True  # without it Gradio takes files from anywhere on the machine
    page.queue(api_open=False, max_size=MAX_WAITING_CALLS, default_concurrency_limit=PAGE_SEARCHES_AT_ONCE)
    return page


def _sent(event: gr.EventData, name: str) -> object:
    """Give what `page.js` sent along with an event."""
    return event._data.get(name) if isinstance(event._data, dict) else None


def _part(name: str, *events: str) -> gr.HTML:
    """Make a part of the page that `page.js` draws and listens to; `events` are those it sends."""
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
    """Give the theme of the few controls that are Gradio's own: the system's fonts, no request to anywhere."""
    return gr.themes.Base(
        primary_hue="neutral",
        neutral_hue="neutral",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
