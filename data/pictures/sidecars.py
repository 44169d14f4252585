"""Which files of a folder hold metadata about which pictures beside them.

| file | metadata of |
|---|---|
| `IMG.xmp`, `IMG.jpg.xmp` | `IMG.jpg` and other pictures of the name `IMG`; `IMG.jpg` only |
| `IMG.jpg.json`, `IMG.jpg.supplemental-metadata.json` | `IMG.jpg` and `IMG-edited.jpg`, from Google Takeout |
| `IMG.jpg(1).json` | `IMG(1).jpg`, from Google Takeout |

Takeout shortens the names of its files to 51 characters, so the end of a name may be missing. Files of settings of
photo programs (`.aae`, `.pp3`, `.dop`, `.on1`) are sidecars whose content is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Sidecars", "sidecars_among"]

_XMP, _JSON = ".xmp", ".json"
_UNREAD = (".aae", ".pp3", ".dop", ".on1")
_SUFFIXES = (_XMP, _JSON, *_UNREAD)
_SUPPLEMENT = "supplemental-metadata"
_COPY = re.compile(r"(.*)(\(\d+\))", re.DOTALL)
_EDITED = re.compile(r"-(?:edited|bearbeitet|modifié|editado|modificato|bewerkt)(?=\.[^.]*$)")
_SHORTENED = 46
"""Length of a name that Takeout has shortened, without ".json", in characters."""

_ALBUM = re.compile(
    r"metadat\w*(?:\(\d+\))?|print-subscriptions|shared_album_comments|user-generated-memory-titles|métadonnées|"
    r"metadaten(?:\(\d+\))?"
)
"""Files of Takeout, without ".json", that are about an album and not about a picture."""


@dataclass(frozen=True, slots=True)
class Sidecars:
    """The sidecars of one folder: `of` maps a picture to its sidecars, and `names` has all sidecars of the folder."""

    of: dict[str, list[str]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


def sidecars_among(files: Iterable[str]) -> Sidecars:
    """Find the sidecars among the names of all files of a folder. Names are compared without regard to case."""
    names = list(files)
    beside = [name for name in names if name.lower().endswith(_SUFFIXES)]
    if not beside:
        return Sidecars()
    pictures = [name for name in names if not name.lower().endswith(_SUFFIXES)]
    by_name: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for name in pictures:
        lowered = name.lower()
        by_name.setdefault(lowered, []).append(name)
        by_stem.setdefault(lowered.rpartition(".")[0] or lowered, []).append(name)
        unedited = _EDITED.sub("", lowered)
        if unedited != lowered:
            by_name.setdefault(unedited, []).append(name)
    shortened: dict[str, list[str]] = {}
    for lowered, same in by_name.items():
        if len(lowered) > _SHORTENED:
            shortened.setdefault(lowered[:_SHORTENED], []).extend(same)
    of: dict[str, list[str]] = {}
    found: set[str] = set()
    albums: list[str] = []
    for name in sorted(beside):
        base, _, suffix = name.lower().rpartition(".")
        if suffix == "json":
            owners = _owners(base, by_name) or shortened.get(base, [])
            if not owners:
                albums += [name] if _ALBUM.fullmatch(base) else []
                continue
        else:
            owners = (by_name.get(base) or by_stem.get(base, [])) if f".{suffix}" == _XMP else []
        found.add(name)
        for owner in owners:
            of.setdefault(owner, []).append(name)
    if any(name.lower().endswith(_JSON) for name in found):
        found.update(albums)
    return Sidecars(of, frozenset(found))


def _owners(base: str, by_name: dict[str, list[str]]) -> list[str]:
    """Return the pictures that a JSON file of Takeout is about; `base` is its name in lower case, without ".json"."""
    copy = ""
    if base not in by_name and (match := _COPY.fullmatch(base)):
        base, copy = match.groups()
    candidates = [base]
    head, dot, tail = base.rpartition(".")
    if dot and _SUPPLEMENT.startswith(tail):
        candidates.append(head)
    for candidate in candidates:
        stem, dot, suffix = candidate.rpartition(".")
        name = f"{stem}{copy}.{suffix}" if dot else candidate
        if name in by_name:
            return by_name[name]
    return []
