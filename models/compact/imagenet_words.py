"""The 1,000 ImageNet classes in words: their synonyms, definition and broader terms, from WordNet 3.0.

WordNet: Miller, 1995, "WordNet: A Lexical Database for English"; Debian's package `wordnet-base` installs it under
`/usr/share/wordnet`. It is used to make the figures of `compact`, not for searching.
"""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEBIAN_ROOT", "Synset", "broader_terms", "match_classes", "read_nouns"]

DEBIAN_ROOT = Path("/usr/share/wordnet")


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words (the most usual first), its definition, and the offsets of its broader terms."""

    offset: int
    words: tuple[str, ...]
    definition: str
    broader: tuple[int, ...]


def read_nouns(root: Path = DEBIAN_ROOT) -> dict[int, Synset]:
    """Return all nouns of WordNet by their offset (file format: wndb(5WN))."""
    nouns: dict[int, Synset] = {}
    for line in (root / "data.noun").read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        entry, _, gloss = line.partition("|")
        columns = entry.split()
        word_count = int(columns[3], 16)
        words = tuple(columns[4 + 2 * index].replace("_", " ") for index in range(word_count))
        first = 5 + 2 * word_count
        pointers = [columns[first + 4 * index : first + 4 * index + 3] for index in range(int(columns[first - 1]))]
        broader = tuple(int(target) for kind, target, part in pointers if kind in ("@", "@i") and part == "n")
        offset = int(columns[0])
        nouns[offset] = Synset(offset, words, gloss.split('"')[0].strip(" ;"), broader)
    return nouns


def match_classes(class_names: Sequence[str], nouns: Mapping[int, Synset]) -> list[Synset]:
    """Return the meaning of each class name.

    A name may have several meanings ("crane" is a bird and a machine), but ImageNet numbers its classes in the order of
    their WordNet offsets. So the right meanings are the longest rising sequence with at most one meaning of each name.

    Raises:
        ValueError: some class has no meaning in that sequence.
    """
    by_word: dict[str, list[int]] = defaultdict(list)
    for offset, synset in nouns.items():
        for word in synset.words:
            by_word[_letters(word)].append(offset)
    ends: list[int] = []  # by length: the smallest offset at the end of a rising sequence
    end_steps: list[int] = []
    steps: list[tuple[int, int, int]] = []  # offset, class, previous step
    for index, name in enumerate(class_names):
        for offset in sorted(_meanings(name, by_word), reverse=True):
            length = bisect.bisect_left(ends, offset)
            steps.append((offset, index, end_steps[length - 1] if length else -1))
            ends[length : length + 1] = [offset]
            end_steps[length : length + 1] = [len(steps) - 1]
    chosen: dict[int, Synset] = {}
    step = end_steps[-1] if end_steps else -1
    while step >= 0:
        offset, index, step = steps[step]
        chosen[index] = nouns[offset]
    if len(chosen) != len(class_names):
        missing = [name for index, name in enumerate(class_names) if index not in chosen]
        raise ValueError(f"WordNet has no fitting meaning for: {', '.join(missing)}")
    return [chosen[index] for index in range(len(class_names))]


def broader_terms(synset: Synset, nouns: Mapping[int, Synset]) -> list[Synset]:
    """Return the broader terms of a meaning, nearest first and "entity" last, following the first pointer each time."""
    terms: list[Synset] = []
    while synset.broader:
        synset = nouns[synset.broader[0]]
        terms.append(synset)
    return terms


def _meanings(name: str, by_word: Mapping[str, list[int]]) -> list[int]:
    """Return all nouns of that name; the last words may be dropped, as torchvision adds some ("crane bird")."""
    words = name.split()
    while words:
        if found := by_word.get(_letters("".join(words))):
            return found
        words.pop()
    return []


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())
