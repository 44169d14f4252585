from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    expect,
    sync_playwright,
)

import lookalike.ui.page.uploads
from lookalike import Catalog
from lookalike.retrieval.reencode.reencode_run import Reencoding
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.server.guard import LOOPBACK
from lookalike.ui.server.server import create_app
from tests.browser import launch
from tests.conftest import SAMPLE
from tests.fakes import ColourEncoder, fake_models
from tests.running import run
from tests.serving import serving
from tests.test_indexing import picture
from tests.web_shop import HOSTILE, make_shop

pytestmark = pytest.mark.browser

WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
expect.set_options(timeout=20_000)  # other workers of pytest want the processors too
CUT_OFF = """selectors => {
  const shown = [...document.querySelectorAll(selectors)].filter(one => one.offsetParent);
  const cut = shown.filter(one => one.scrollWidth > one.clientWidth);
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) cut.push(page);
  return cut.map(one => one.className || one.tagName);
}"""
TEXTS = (
    ".card, .card-open, .card-text, .card-title, .card-facts, .found, .item-text, .item h2, .panel-body, #search-row"
)


@pytest.fixture(scope="module")
def address(shop: Path) -> Iterator[str]:
    with Catalog.open(shop) as catalog, serving(create_app(catalog, hosts=LOOPBACK)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """The pages of one visitor, who fetches scripts and styles once and then has them in the cache."""
    made = browser.new_context()
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, context: BrowserContext, address: str) -> Iterator[Page]:
    yield from watched(context, address, request.param)


@pytest.fixture
def wide_page(context: BrowserContext, address: str) -> Iterator[Page]:
    yield from watched(context, address, WIDE)


def watched(
    context: BrowserContext, address: str, viewport: ViewportSize, *, origin: str | None = None
) -> Iterator[Page]:
    """Yield an open page; check that it had no errors and sent no request to another site."""
    wrong: list[str] = []
    origin = origin or address

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{origin}/", "data:", f"blob:{origin}/")):
            wrong.append(f"foreign request: {request.url}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            wrong.append(f"{response.status}: {response.url}")

    opened = context.new_page()
    opened.set_viewport_size(viewport)
    opened.on("console", said)
    opened.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    opened.on("request", asked)
    opened.on("response", answered)
    opened.goto(address)
    expect(opened.locator(".card").first).to_be_visible()
    yield opened
    opened.close()
    assert wrong == []


def settled(page: Page) -> None:
    expect(page.locator("body:not(.is-busy)")).to_be_attached()


def say(page: Page, words: str) -> None:
    page.locator("#words input").fill(words)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape("?q=" + words.replace(" ", "+"))))
    settled(page)


def first_key(page: Page) -> str | None:
    return page.locator(".card").first.get_attribute("data-key")


def unfold_filters(page: Page) -> None:
    toggle = page.locator(".panel-toggle")
    if toggle.is_visible() and toggle.get_attribute("aria-expanded") == "false":
        toggle.click()


def test_nothing_is_cut_off(page: Page) -> None:
    assert page.evaluate(CUT_OFF, TEXTS) == []
    unfold_filters(page)
    assert page.evaluate(CUT_OFF, TEXTS) == []
    page.locator(".card-open").first.click()
    expect(page.locator("dialog .item")).to_be_visible()
    assert page.evaluate(CUT_OFF, TEXTS) == []
    assert page.locator("dialog").evaluate("one => one.scrollWidth <= one.clientWidth")


def test_words_find_the_cup(page: Page) -> None:
    say(page, "a cup of coffee")
    expect(page.locator(".card-score").first).to_be_visible()
    assert "coffee" in page.locator(".card-title").first.inner_text().lower()
    assert page.evaluate(CUT_OFF, TEXTS) == []


def test_an_uploaded_photo_finds_its_product(wide_page: Page) -> None:
    picture = SAMPLE.parent / "pictures" / "cup-of-coffee.webp"
    wide_page.locator(".subject-add input").set_input_files(picture)
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    assert first_key(wide_page) == "cup-of-coffee"
    expect(wide_page.locator(".subject-chip")).to_be_visible()
    expect(wide_page.locator("#balance")).to_be_hidden()
    wide_page.locator("#words input").fill("tea")
    expect(wide_page.locator("#balance")).to_be_visible()
    wide_page.get_by_role("button", name="Remove the picture").click()
    expect(wide_page.locator(".subject-chip")).to_be_hidden()


def test_a_photo_that_the_browser_cannot_show_is_searched_with(wide_page: Page, tmp_path: Path) -> None:
    with Image.open(SAMPLE.parent / "pictures" / "cup-of-coffee.webp") as picture:
        pillow_heif.from_pillow(picture.convert("RGB")).save(tmp_path / "photo.heic")
    wide_page.locator(".subject-add input").set_input_files(tmp_path / "photo.heic")
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    assert first_key(wide_page) == "cup-of-coffee"
    expect(wide_page.locator(".subject-name")).to_have_text("photo.heic")
    expect(wide_page.locator(".subject-picture img")).to_have_count(0)


def test_a_file_that_is_no_picture_is_said_kindly(wide_page: Page, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"not a picture at all")
    wide_page.locator(".subject-add input").set_input_files(tmp_path / "photo.jpg")
    expect(wide_page.locator(".state")).to_contain_text("That picture cannot be read")


def test_a_pasted_picture_is_searched_with(wide_page: Page) -> None:
    wide_page.evaluate(
        """async address => {
          const content = await (await fetch(address)).blob();
          const data = new DataTransfer();
          data.items.add(new File([content], "pasted.webp", { type: "image/webp" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        wide_page.locator(".card img").nth(3).get_attribute("src"),
    )
    expected = wide_page.locator(".card").nth(3).get_attribute("data-key")
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    assert first_key(wide_page) == expected


def test_a_picture_dropped_on_the_page_is_searched_with(wide_page: Page) -> None:
    wide_page.evaluate(
        """async address => {
          const content = await (await fetch(address)).blob();
          const data = new DataTransfer();
          data.items.add(new File([content], "dropped.webp", { type: "image/webp" }));
          for (const kind of ["dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
          }
        }""",
        wide_page.locator(".card img").nth(5).get_attribute("src"),
    )
    expected = wide_page.locator(".card").nth(5).get_attribute("data-key")
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    assert first_key(wide_page) == expected
    expect(wide_page.locator(".subject-name")).to_have_text("dropped.webp")
    wide_page.locator(".more").click()
    expect(wide_page.locator(".card")).to_have_count(48)


def test_a_picture_that_cannot_be_sent_is_said_in_the_servers_words(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike.ui.page.uploads, "MAX_BYTES", 1000)
    page = browser.new_page()
    page.goto(address)
    expect(page.locator(".card").first).to_be_visible()
    with page.expect_response("**/gradio_api/upload") as answer:
        page.locator(".subject-add input").set_input_files(SAMPLE.parent / "pictures" / "beagle.webp")
    assert answer.value.status == 413
    expect(page.locator(".subject-problem")).to_contain_text("The picture is too large")
    expect(page.locator(".subject-chip")).to_be_hidden()
    page.close()


def test_a_category_narrows_every_card(page: Page) -> None:
    unfold_filters(page)
    category = page.locator("[data-group=category] .ticks label").nth(1)
    name = category.locator(".value").inner_text()
    count = int(category.locator(".count").inner_text())
    category.click()
    expect(page.locator(".found")).to_contain_text(f"{count} items match the filters")
    assert set(page.locator(".card-category").all_inner_texts()) == {name}
    say(page, "something red")
    assert set(page.locator(".card-category").all_inner_texts()) == {name}
    unfold_filters(page)
    page.locator("[data-bound=high]").first.fill("12")
    page.keyboard.press("Enter")
    expect(page.locator(".panel-head")).to_contain_text("Clear all")
    settled(page)
    prices = [float(text.strip("$€ ")) for text in page.locator(".card-price").all_inner_texts()]
    assert all(price <= 12 for price in prices)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".found")).not_to_contain_text("match the filters")


def test_quick_ticks_all_count(wide_page: Page) -> None:
    ticks = wide_page.locator("[data-group=category] .ticks label")
    names = [ticks.nth(place).locator(".value").inner_text() for place in (0, 1, 2)]
    ticks.evaluate_all("labels => labels.slice(0, 3).forEach(one => one.click())")
    expect(wide_page.locator("[data-group=category] > summary .badge")).to_have_text("3")
    settled(wide_page)
    expect(wide_page).to_have_url(re.compile("&".join(f"in.category={re.escape(name)}" for name in names)))
    assert set(wide_page.locator(".card-category").all_inner_texts()) <= set(names)


def test_a_wrong_expression_is_said_in_words_and_mended(wide_page: Page) -> None:
    wide_page.locator("[data-group=expression] > summary").click()
    box = wide_page.locator("textarea[name=expression]")
    box.fill("prize < 3")
    wide_page.keyboard.press("Enter")
    expect(wide_page.locator("#expression-problem")).to_contain_text("There is no field 'prize'")
    expect(wide_page.locator(".state")).to_be_visible()
    box.fill("price < 3")
    wide_page.keyboard.press("Enter")
    expect(wide_page.locator(".found")).to_contain_text("match the filters")


def test_the_keyboard_opens_an_item_and_finds_similar_ones(wide_page: Page) -> None:
    card = wide_page.locator(".card-open").first
    key, title = first_key(wide_page), wide_page.locator(".card-title").first.inner_text()
    card.focus()
    wide_page.keyboard.press("Enter")
    expect(wide_page.locator("dialog h2")).to_have_text(title)
    wide_page.keyboard.press("Escape")
    expect(wide_page.locator("dialog")).to_be_hidden()
    assert wide_page.evaluate("document.activeElement.classList.contains('card-open')"), "focus is back on the card"
    wide_page.keyboard.press("Enter")
    wide_page.get_by_role("button", name="Find similar", exact=True).click()
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    assert key not in wide_page.locator(".card").evaluate_all("cards => cards.map(one => one.dataset.key)")
    expect(wide_page.locator(".subject-name")).to_have_text(title)


def test_show_more_goes_on_with_the_same_ranking(wide_page: Page) -> None:
    say(wide_page, "fruit")
    wide_page.locator(".more").click()
    expect(wide_page.locator(".card")).to_have_count(48)
    keys = wide_page.locator(".card").evaluate_all("cards => cards.map(one => one.dataset.key)")
    scores = [float(text) for text in wide_page.locator(".card-score").all_inner_texts()]
    assert len(set(keys)) == 48 and scores == sorted(scores, reverse=True)


def test_examples_search_and_the_address_brings_it_back(wide_page: Page) -> None:
    words = wide_page.locator("[data-action=words]").first
    text = words.inner_text()
    words.click()
    expect(wide_page.locator("#words input")).to_have_value(text)
    expect(wide_page.locator(".card-score").first).to_be_visible()
    settled(wide_page)
    found = first_key(wide_page)
    wide_page.reload()
    expect(wide_page.locator("#words input")).to_have_value(text)
    expect(wide_page.locator(".card-score").first).to_be_visible()
    assert first_key(wide_page) == found
    wide_page.locator(".example-picture").first.click()
    expect(wide_page.locator(".subject-chip")).to_be_visible()
    expect(wide_page.locator("#words input")).to_have_value("")


def test_with_a_key_the_browsers_own_login_opens_the_page(browser: Browser, shop: Path) -> None:
    with Catalog.open(shop) as catalog, serving(create_app(catalog, api_key="sesame")) as address:
        stranger = browser.new_context()
        assert stranger.request.get(address).status == 401
        login = browser.new_context(http_credentials={"username": "me", "password": "sesame"})
        page = login.new_page()
        page.goto(address)
        expect(page.locator(".card").first).to_be_visible()
        say(page, "apple")
        expect(page.locator(".card-score").first).to_be_visible()
        expect(page.locator(".card img").first).not_to_have_js_property("naturalWidth", 0)
        login.close()
        stranger.close()


def test_hostile_texts_of_the_catalogue_stay_texts(
    context: BrowserContext, tmp_path: Path, encoder: ColourEncoder
) -> None:
    with make_shop(tmp_path) as catalog, serving(create_app(catalog)) as address:
        catalog.update(["k03"], titles=[HOSTILE])  # a feed would make plain text of it
        opened = watched(context, address, WIDE)
        page = next(opened)
        assert page.locator(".card-title").nth(3).inner_text() == HOSTILE
        page.locator(".card-open").nth(3).click()
        expect(page.locator("dialog h2")).to_have_text(HOSTILE)
        page.get_by_role("button", name="Find similar", exact=True).click()
        expect(page.locator(".subject-name")).to_have_text(HOSTILE)
        page.goto(f"{address}/?in.colour={HOSTILE}&q={HOSTILE}&filter={HOSTILE}")
        expect(page.locator(".state")).to_be_visible()
        assert page.evaluate("window.broken") is None
        assert page.locator("img[src=x]").count() == 0
        assert next(opened, None) is None


def test_a_second_model_given_while_the_page_is_served_brings_its_slider(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_models(monkeypatch)
    for number in range(12):
        picture(tmp_path / "pictures" / f"{number}.png", number)
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        run(catalog, tmp_path / "pictures")
        with serving(create_app(catalog, hosts=LOOPBACK)) as place:
            for page in watched(context, f"{place}/?like=5.png", WIDE, origin=place):
                expect(page.locator(".subject-chip")).to_be_visible()
                expect(page.locator("#appearance")).to_be_hidden()
                list(Reencoding(catalog._core, appearance="edge"))
                page.reload()
                expect(page.locator("#appearance")).to_be_visible()
                settled(page)
                assert first_key(page) == catalog.search(like="5.png").keys[0]
                page.locator("#appearance input[type=range]").click(position={"x": 1, "y": 4})
                expected = catalog.search(like="5.png", appearance=0.0).keys[0]
                expect(page.locator(".card").first).to_have_attribute("data-key", expected)
                assert expected != catalog.search(like="5.png").keys[0]


def test_without_a_model_the_item_compared_with_is_shown_and_removed(context: BrowserContext, tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "bare", dim=2) as catalog:
        catalog.add_vectors(["a", "b", "c"], [[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
        with serving(create_app(catalog, hosts=LOOPBACK)) as place:
            for viewport in (WIDE, NARROW):
                for page in watched(context, place, viewport):
                    expect(page.locator("#search-row")).to_be_hidden()
                    page.locator(".card-open").first.click()
                    page.get_by_role("button", name="Find similar", exact=True).click()
                    expect(page.locator(".subject-name")).to_have_text("a")
                    expect(page.locator(".subject-name")).to_be_visible()
                    expect(page.locator(".card")).to_have_count(2)
                    for hidden in ("#words", "#go", "#options", ".subject-add"):
                        expect(page.locator(hidden)).to_be_hidden()
                    page.get_by_role("button", name="Remove the picture").click()
                    expect(page.locator(".card")).to_have_count(3)
                    expect(page.locator("#search-row")).to_be_hidden()


def test_what_is_given_before_the_page_has_opened_stays(
    browser: Browser, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, may_open = Handlers.opened, threading.Event()

    def late(handlers: Handlers, address: Sequence[tuple[str, str]]) -> dict[str, str]:
        assert may_open.wait(30)
        return opened(handlers, address)

    monkeypatch.setattr(Handlers, "opened", late)
    with Catalog.open(shop) as catalog, serving(create_app(catalog, hosts=LOOPBACK)) as place:
        page = browser.new_page()
        page.goto(place)
        page.locator("#words input").fill("cup")
        page.locator(".subject-add input").set_input_files(SAMPLE.parent / "pictures" / "cup-of-coffee.webp")
        expect(page.locator(".card-score").first).to_be_visible()
        may_open.set()
        expect(page.locator(".example-picture").first).to_be_visible()
        settled(page)
        expect(page.locator(".subject-chip")).to_be_visible()
        expect(page.locator("#words input")).to_have_value("cup")
        assert first_key(page) == "cup-of-coffee"
        page.close()


def test_the_keys_move_a_slider_and_search(wide_page: Page) -> None:
    wide_page.locator(".subject-add input").set_input_files(SAMPLE.parent / "pictures" / "beagle.webp")
    expect(wide_page.locator(".card-score").first).to_be_visible()
    wide_page.locator("#words input").fill("a cup of coffee")
    wide_page.keyboard.press("Enter")
    settled(wide_page)
    wide_page.locator("#balance input[type=range]").focus()
    wide_page.keyboard.press("End")
    expect(wide_page.locator(".card").first).to_have_attribute("data-key", re.compile("coffee|cup"))
    wide_page.keyboard.press("Home")
    expect(wide_page.locator(".card").first).to_have_attribute("data-key", "beagle")


def test_on_a_phone_the_open_filters_lead_back_to_the_results(context: BrowserContext, address: str) -> None:
    for page in watched(context, f"{address}/?q=cup", NARROW, origin=address):
        toggle, show = page.locator(".panel-toggle"), page.locator("[data-action=show]")
        expect(page.locator(".panel-body")).to_be_hidden()
        expect(show).to_be_hidden()
        toggle.click()
        expect(show).to_be_in_viewport(ratio=1)
        page.locator(".ticks input").nth(0).check()
        page.locator(".ticks input").nth(1).check()
        expect(toggle).to_contain_text("2")
        settled(page)
        expect(page.locator(".found")).to_contain_text("match the filters")
        count = (page.locator(".found strong").text_content() or "").split()[0]
        expect(show).to_have_text(f"Show {count} items")
        expect(show).to_be_in_viewport(ratio=1)
        show.click()
        expect(page.locator(".panel-body")).to_be_hidden()
        expect(page.locator(".card").first).to_be_in_viewport(ratio=1)
        expect(toggle).to_be_in_viewport(ratio=1)
        expect(toggle).to_contain_text("2")
        expect(toggle).to_be_focused()


def test_a_wide_page_needs_no_button_to_leave_the_filters(wide_page: Page) -> None:
    expect(wide_page.locator(".panel-body")).to_be_visible()
    expect(wide_page.locator("[data-action=show]")).to_be_hidden()


def test_a_range_in_the_wrong_order_is_explained_where_it_was_typed(wide_page: Page) -> None:
    low, high = (wide_page.locator(f"[name=price][data-bound={side}]") for side in ("low", "high"))
    low.fill("20")
    high.fill("5")
    high.press("Enter")
    problem = wide_page.locator("[data-group=price] .problem")
    expect(problem).to_have_text("The first value is above the second, so nothing lies between them. Swap them.")
    expect(wide_page.locator(".state")).to_contain_text("Price: the first value is above the second")
    low.fill("2")
    low.press("Enter")
    expect(wide_page.locator(".found")).to_contain_text("match the filters")
    expect(problem).to_have_count(0)


def titles(page: Page) -> list[str]:
    settled(page)
    return page.locator(".card-title").all_text_contents()[:6]


def test_back_and_forward_go_through_the_searches(wide_page: Page) -> None:
    page = wide_page
    words = page.locator("#words :is(input, textarea)")
    chip = page.locator(".subject-chip")
    words.fill("a cup of coffee")
    words.press("Enter")
    expect(page).to_have_url(re.compile("q=a"))
    cups = titles(page)
    page.locator("[data-group=colour] input[type=checkbox]").first.check()
    expect(page).to_have_url(re.compile("in.colour"))
    ticked = titles(page)
    page.locator(".card").nth(1).hover()
    page.locator("[data-action=similar]").nth(1).click()
    expect(chip).to_be_visible()
    expect(page).to_have_url(re.compile("like="))
    expect(words).to_have_value("")
    similar = titles(page)
    name = page.locator(".subject-name").text_content() or "?"
    assert len({tuple(cups), tuple(ticked), tuple(similar)}) == 3

    page.go_back()
    expect(chip).to_be_hidden()
    expect(words).to_have_value("a cup of coffee")
    expect(page.locator(".card-title").first).to_have_text(ticked[0])
    assert titles(page) == ticked
    page.go_back()
    expect(page.locator("[data-group=colour] input:checked")).to_have_count(0)
    assert titles(page) == cups
    page.go_forward()
    page.go_forward()
    expect(page.locator(".subject-name")).to_have_text(name)
    expect(page.locator(".subject-picture img")).to_be_visible()
    expect(words).to_have_value("")
    expect(page.locator(".card-title").first).to_have_text(similar[0])
    assert titles(page) == similar


def test_back_returns_to_a_picture_that_was_sent(wide_page: Page) -> None:
    page = wide_page
    page.locator(".subject-add input").set_input_files(SAMPLE.parent / "pictures" / "orange.webp")
    expect(page.locator(".subject-name")).to_have_text("orange.webp")
    expect(page.locator(".found")).to_contain_text("best first")
    found = titles(page)
    page.locator(".example-picture").first.click()
    expect(page).to_have_url(re.compile("like="))
    assert titles(page) != found
    page.go_back()
    expect(page.locator(".subject-name")).to_have_text("orange.webp")
    expect(page.locator(".subject-picture img")).to_be_visible()
    expect(page.locator(".card-title").first).to_have_text(found[0])
    assert titles(page) == found
