from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.item import Item

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    """Write an .xlsx of texts, numbers and dates; a date is a number with the style of dates."""
    styles = (
        f'<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
    )
    names, relations = "", f'<Relationship Id="s" Type="{LINKS}/styles" Target="styles.xml"/>'
    with zipfile.ZipFile(path, "w") as file:
        for number, (name, rows) in enumerate(sheets.items(), start=1):
            names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
            relations += f'<Relationship Id="r{number}" Type="{LINKS}/worksheet" Target="worksheets/{number}.xml"/>'
            cells = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            file.writestr(
                f"xl/worksheets/{number}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>'
            )
        book = f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>{names}</sheets></workbook>'
        file.writestr("xl/workbook.xml", book)
        root = f'<Relationship Id="r1" Type="{LINKS}/officeDocument" Target="xl/workbook.xml"/>'
        file.writestr("_rels/.rels", f'<Relationships xmlns="{PACKAGE}">{root}</Relationships>')
        file.writestr("xl/styles.xml", styles)
        file.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{relations}</Relationships>')
    return path


def cell(value: object) -> str:
    if isinstance(value, datetime):
        return f'<c s="1"><v>{(value - datetime(1899, 12, 30, tzinfo=UTC)).days}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if value is not None else "<c/>"


def test_the_first_sheet_with_rows_is_read_with_its_types(tmp_path: Path) -> None:
    day = datetime(2026, 5, 31, tzinfo=UTC)
    rows: list[list[object]] = [
        ["Price list", None, None, None, None, None],
        ["SKU", "Name", "Image", "Price", "Since", "GTIN"],
        ["00123", "Mug", "a.jpg", 9.9, day, 4006381333931],
        ["A-2", "Hat", "b.jpg", 12, day, 4006381333948],
    ]
    path = workbook(tmp_path / "shop.xlsx", {"Cover": [], "Goods": rows, "Old": rows})
    feed = open_feed(path)
    mug, hat = (item for item in feed if isinstance(item, Item))
    assert (mug.key, mug.title, mug.images[0].source) == ("00123", "Mug", "a.jpg")
    assert (mug.fields["Price"], mug.fields["Since"]) == (9.9, day)
    assert (hat.key, hat.fields["Price"]) == ("A-2", 12)
    assert any("Goods" in note and "Old" in note for note in feed.notes)


def test_a_workbook_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no rows"):
        open_feed(workbook(tmp_path / "shop.xlsx", {"Empty": []}))
