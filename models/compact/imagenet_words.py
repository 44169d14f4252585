"""The 1,000 ImageNet classes in words: their synonyms, definition and broader terms, from WordNet 3.0.

WordNet: Miller, 1995, "WordNet: A Lexical Database for English"; Debian's package `wordnet-base` puts it under
`/usr/share/wordnet`. Used only to make the figures of `compact`, never to search.
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
    """One meaning: the words for it, the first the most usual; its definition; and the offsets of its broader terms."""

    offset: int
    words: tuple[str, ...]
    definition: str
    broader: tuple[int, ...]


def read_nouns(root: Path = DEBIAN_ROOT) -> dict[int, Synset]:
    """Read all nouns of WordNet by their offset (format: wndb(5WN))."""
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
    """Find the meaning of each class name.

    A name may have many ("crane" is a bird and a machine), but ImageNet numbers its classes in order of their WordNet
    offsets, so the right ones are the longest rising sequence that takes at most one meaning of each name.

    Raises:
        ValueError: some class is left without a meaning.
    """
    by_word: dict[str, list[int]] = defaultdict(list)
    for offset, synset in nouns.items():
        for word in synset.words:
            by_word[_letters(word)].append(offset)
    ends: list[int] = []  # the smallest offset that a rising sequence of each length ends with
    end_steps: list[int] = []
    steps: list[tuple[int, int, int]] = []  # offset, class, the step before
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
    """Walk up from a meaning, always by its first broader term: the nearest first, "entity" last."""
    terms: list[Synset] = []
    while synset.broader:
        synset = nouns[synset.broader[0]]
        terms.append(synset)
    return terms


def _meanings(name: str, by_word: Mapping[str, list[int]]) -> list[int]:
    """All nouns of that name; torchvision adds words to tell two classes apart ("crane bird"), so the last may go."""
    words = name.split()
    while words:
        if found := by_word.get(_letters("".join(words))):
            return found
        words.pop()
    return []


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())
