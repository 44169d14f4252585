from __future__ import annotations

import re
from pathlib import Path

from lookalike.data.counted import counted

ROOT = Path(__file__).parents[1]
NOUNS = "items|rows|pictures|queries|vectors|values|files|keys|titles|thumbnails|problems|snapshots|images|numbers"


def test_a_noun_takes_the_form_of_its_number() -> None:
    assert [counted(count, "item") for count in (0, 1, 2, 1234)] == ["0 items", "1 item", "2 items", "1,234 items"]
    assert [counted(count, "query", "queries") for count in (1, 2)] == ["1 query", "2 queries"]


def test_no_message_writes_a_counted_noun_by_hand() -> None:
    # "{count:,} items" says "1 items" sooner or later; a limit in capitals is never 1.
    pattern = re.compile(rf"\{{(?![A-Z_]+[:}}])[^{{}}]*:,(?:\.0f)?\}}(?:\[/\])? (?:\w+ )?(?:{NOUNS})\b")
    folders = ("data", "models", "retrieval", "ui")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if "sample_tools" not in path.parts]
    found = {path.name: pattern.findall(path.read_text(encoding="utf-8")) for path in files}
    assert len(files) > 200 and {name: one for name, one in found.items() if one} == {}
