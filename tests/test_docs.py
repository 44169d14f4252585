from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient
from typer.testing import CliRunner

from docs.generate import commands, pages
from lookalike import Catalog
from lookalike.retrieval.filters import Filter
from lookalike.ui.cli.main import app
from lookalike.ui.settings import OTHERS, SETTINGS
from tests.serving import serving

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SAMPLE = ROOT / "data" / "sample"
README = (ROOT / "README.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.glob("*.md")),
    SAMPLE / "README.md",
    ROOT / "models" / "compact" / "README.md",
]
RUN = ("README.md", "docs/quickstart.md")
"""The pages of which every block is run, in order."""

INSTALLS = "pip install -c constraints.txt -e . && lookalike demo"
TESTS = r"^pip install -c constraints\.txt -e '\.\[test\]' && (python -m tests\.browser && pytest.*)$"
PICTURES = ("alarm-clock", "baseball", "acoustic-guitar", "black-electric-guitar", "bananas", "bitten-apple")
SERVED = "http://127.0.0.1:7860"


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in these languages, in order."""
    found = re.findall(r"^```([\w ]*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


def lines_of(block: str) -> list[str]:
    return [line for line in (one.strip() for one in block.replace("\\\n", " ").splitlines()) if line]


def calls_of(page: Path) -> list[str]:
    """Return the calls of `lookalike` in the command blocks of a page."""
    lines = [line for block in blocks(page, "bash", "ini") for line in lines_of(block)]
    return [
        call for line in lines for call in re.findall(r"(?:^|&& |[A-Z]+=\S+ |/)(lookalike .*?)(?=$| &&| #| >)", line)
    ]


def options_of(command: Any) -> set[str]:  # noqa: ANN401  # Typer's own class
    return {
        name for one in command.params if one.param_type_name == "option" for name in (*one.opts, *one.secondary_opts)
    }


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def sections(text: str) -> dict[str, str]:
    """Return the text below each heading of the second level."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> set[str]:
    """Return the names in code in the first cells of all tables."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]*)`", cell)}


# --- what is documented ----------------------------------------------------------------------------------------------


def test_generated_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in pages().items() if path.read_text() != text]
    assert stale == [], "run: python docs/generate.py"


def test_every_command_and_option_has_a_place() -> None:
    found = sections((DOCS / "cli.md").read_text())
    assert list(found) == list(commands())
    for name, command in commands().items():
        written = {option for row in rows(found[name]) for option in re.findall(r"--?[\w-]+", row)}
        assert options_of(command) <= written, name


def test_calls_on_all_pages_name_commands_and_their_options() -> None:
    for page in PAGES:
        for call in calls_of(page):
            words = re.sub(r"'[^']*'|\"[^\"]*\"", "QUOTED", call).split()[1:]
            name = next(name for name in (" ".join(words[:2]), words[0]) if name in commands())
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            assert used <= options_of(commands()[name]), (page.name, call)


def test_every_command_is_used_outside_its_reference() -> None:
    used = " ".join(call for page in PAGES if page.name != "cli.md" for call in calls_of(page)) + " " + README
    assert [name for name in commands() if not re.search(rf"lookalike {name}\b", used)] == []


def test_every_setting_has_a_row() -> None:
    assert {one.variable for one in SETTINGS.values()} | OTHERS.keys() <= rows((DOCS / "settings.md").read_text())


def test_options_on_all_pages_exist() -> None:
    known = {option for command in commands().values() for option in options_of(command)} | {"--help"}
    for page in PAGES:
        inline = re.findall(r"`(--[a-z][\w-]*)", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S))
        assert set(inline) - known - {"--preload"} == set(), page.name


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    from lookalike.ui.server.server import create_app

    with Catalog.create(tmp_path_factory.mktemp("docs") / "shop", dim=4) as catalog:
        yield create_app(catalog)


@pytest.mark.slow
def test_every_rest_field_and_parameter_has_a_row(served: FastAPI) -> None:
    openapi = served.openapi()
    found = sections((DOCS / "rest.md").read_text())
    errors = rows(found["Errors"])
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            section = found[f"{method.upper()} {path}"]
            names = {one["name"] for one in operation.get("parameters", ())}
            contents = [operation.get("requestBody", {}).get("content", {}), *_answers(operation)]
            for content in contents:
                if "application/json" in content:
                    names |= _fields(content["application/json"]["schema"], openapi["components"]["schemas"])
            written = rows(section) | set(re.findall(r"`(\w+)`", section))
            assert names <= written, path
    for name in ("ErrorAnswer", "_Error"):
        assert openapi["components"]["schemas"][name]["properties"].keys() <= errors


def _answers(operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [answer.get("content", {}) for status, answer in operation["responses"].items() if status == "200"]


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields of a schema, and of the objects inside it."""
    found = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    names: set[str] = set()
    for name, one in found.get("properties", {}).items():
        inner = one.get("items", one)
        names |= {name} | (_fields(inner, schemas) if isinstance(inner, dict) and "$ref" in inner else set())
    return names


@pytest.mark.slow
def test_every_metric_has_a_row(served: FastAPI) -> None:
    with TestClient(served) as client:
        client.post("/api/v1/search", json={"limit": 1})
        client.post("/api/v1/search", json={"filter": "nothing"})
        exposed = client.get("/metrics").text
    names = set(re.findall(r"^# TYPE (\w+) ", exposed, re.MULTILINE))
    documented = rows(sections((DOCS / "rest.md").read_text())["GET /metrics"])
    assert {name for name in names if not name.endswith("_created")} == documented


def test_every_form_of_filter_on_the_page_about_search_is_read() -> None:
    table = sections((DOCS / "search.md").read_text())["Filters"]
    cells = [cell for row in re.findall(r"^\| (.*) \|$", table, re.MULTILINE) for cell in row.split(" | ")[1:]]
    texts = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    whole = [text for text in texts if re.search(r"[<>=]| in |like|is (not )?null|contains\w*\([^.]*\)", text)]
    assert len(whole) > 10
    for text in whole:
        Filter.parse(text, {"most": 20} if "{most}" in text else None)


# --- the pages themselves --------------------------------------------------------------------------------------------


def test_no_link_and_no_anchor_is_dead() -> None:
    for page in PAGES:
        for link in links(page):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), (page.name, link)
            assert not anchor or path.suffix != ".md" or anchor in anchors(path), (page.name, link)


def test_questions_of_a_stranger_are_answered_one_click_away() -> None:
    asked = {"Shopify": "feeds", "CLIP": "models", "price": "search", "server": "operations", "Back": "operations"}
    table = sections(README)["How do I ..."]
    for word, page in {**asked, "my data": "search"}.items():
        row = next(line for line in table.splitlines() if word.lower() in line.lower())
        assert f"docs/{page}.md#" in row


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    assert len(README.encode()) <= 8_000
    assert INSTALLS in README
    assert re.search(TESTS, README, re.MULTILINE)


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)


# --- the blocks, run -------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the blocks name: a part of the sample shop, a picture, judged queries, a feed."""
    part = tmp_path / "data" / "sample"
    part.mkdir(parents=True)
    (part / "pictures").symlink_to(SAMPLE / "pictures")
    head, *items = (SAMPLE / "catalog.csv").read_text().splitlines(keepends=True)
    kept = [line for line in items if line.split(",")[0] in PICTURES] + items[5:8]
    (part / "catalog.csv").write_text(head + "".join(kept))
    (tmp_path / "catalogue.csv").write_text(head + "".join(kept))
    (tmp_path / "pictures").symlink_to(SAMPLE / "pictures")
    (tmp_path / "photo.jpg").symlink_to(SAMPLE / "pictures" / "baseball.webp")
    (tmp_path / "queries.csv").write_text("text,relevant\nfruit,bananas|bitten-apple\n")
    (tmp_path / "products_export.csv").write_text(SHOPIFY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


SHOPIFY = """Handle,Title,Vendor,Type,Tags,Variant Price,Image Src,Status
ball,Baseball,Acme,sport,"round, sale",12.50,pictures/baseball.webp,active
ball,,,,,,pictures/bananas.webp,
clock,Alarm clock,Acme,home,,20.00,pictures/alarm-clock.webp,draft
"""


def run_command(line: str) -> None:
    """Run one line of a command block: a call of ours in this process, anything else in a shell."""
    line = re.sub(r"^pip install .*? && ", "", line)
    if line.startswith(("pip install", "pytest", "python -m tests.browser")):
        return  # as this environment was made, and what runs this test
    if not line.startswith("lookalike"):
        subprocess.run(["bash", "-ec", line], check=True, capture_output=True, text=True)
        return
    words = shlex.split(line.partition(" > ")[0])[1:]
    words += {"demo": ["--no-serve"], "serve": ["--port", "0"]}.get(words[0], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.ui.cli.demo_command._SAMPLE", Path("data/sample/catalog.csv").absolute())
        patch.setattr(uvicorn.Server, "run", _answer_once)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (line, done.output)


def _answer_once(server: uvicorn.Server, sockets: object = None) -> None:
    with TestClient(server.config.app, base_url="http://127.0.0.1") as client:  # type: ignore[arg-type]
        assert client.get("/healthz").json() == {"status": "ok"}


def run_block(language: str, block: str) -> None:
    if language == "python":
        exec(compile(block, "block", "exec"), {"__name__": "block"})
    elif SERVED in block:
        from lookalike.ui.server.server import create_app

        with Catalog.open("shop") as catalog, serving(create_app(catalog)) as address:
            for line in lines_of(block):
                done = subprocess.run(
                    ["bash", "-ec", f"{line} --fail --silent --show-error".replace(SERVED, address)],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                assert '"hits":[{' in done.stdout, line
    elif "<<'" in block:
        subprocess.run(["bash", "-ec", block], check=True)
    else:
        for line in lines_of(block):
            run_command(line.partition(" #")[0].strip())


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("page", RUN)
def test_every_block_runs(page: str, place: Path) -> None:
    found = re.findall(r"^```(bash|python)\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) > 2
    for language, block in found:
        run_block(language, block)


@pytest.mark.slow
@pytest.mark.weights
def test_python_blocks_of_the_pages_on_feeds_and_search_run(place: Path) -> None:
    run_command("lookalike index shop data/sample/catalog.csv --model compact")
    for page in ("feeds.md", "search.md"):
        for block in blocks(DOCS / page, "python"):
            run_block("python", block)
    with Catalog.create("shopify", model="compact") as catalog:
        report = catalog.index("products_export.csv").finish()
        (ball,) = catalog.get("ball")
        assert (report.added, report.rejected, len(ball.images), ball.fields["price"]) == (2, 0, 2, 12.5)
        assert catalog.search(filter='price < 80 and status == "active" and array_contains(tags, "sale")').keys == [
            "ball"
        ]


@pytest.mark.slow
@pytest.mark.weights
def test_a_field_of_text_becomes_one_of_numbers_as_the_page_on_feeds_says(place: Path) -> None:
    feed = Path("catalogue.jsonl")
    rows = ("a", "baseball", "€12,50"), ("b", "bananas", "€3,20"), ("c", "baseball", "ask us"), ("d", "bananas", "free")
    lines = [f'{{"key": "{key}", "image": "pictures/{name}.webp", "price": "{price}"}}\n' for key, name, price in rows]
    feed.write_text("".join(lines))
    run_command("lookalike index shop catalogue.jsonl --model compact")
    section = (DOCS / "feeds.md").read_text().partition("To change the type of a field")[2]
    for line in lines_of(section.partition("```bash\n")[2].partition("```")[0]):
        run_command(line)
    with Catalog.open("shop") as catalog:
        assert [item.key for item in catalog.items("price < 5")] == ["b"]
        catalog.delete("b")
        catalog.index(feed).finish()
        assert "b" in catalog  # a deleted item returns with the next index of its feed
