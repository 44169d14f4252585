"""The names of all sides, and how to get one: a peer's module is imported only when that peer is asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from lookalike.data.errors import UsageError
from lookalike.retrieval.bench.peers.peer import Peer
from lookalike.retrieval.vector_index.baselines import BaselineKind

__all__ = ["OURS", "PEERS", "PeerInfo", "about", "checked_names", "peer_of", "version_of"]

OURS: Final = "lookalike"

_HERE = "lookalike.retrieval.bench.peers"
_EXACT, _GRAPH = "exact", "approximate, graph"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """Facts about a peer that need no import of its package.

    `home` is the module and class here, `distribution` the package on PyPI, `module` the name that it is imported by,
    and `about` says how it searches and filters.
    """

    home: tuple[str, str]
    distribution: str
    module: str
    about: str


PEERS: Final = {
    "qdrant-edge": PeerInfo(
        ("qdrant_edge", "QdrantEdge"), "qdrant-edge-py", "qdrant_edge", f"{_GRAPH}; own filter; returns ids"
    ),
    "qdrant-edge-int8": PeerInfo(
        ("qdrant_edge", "QdrantEdgeInt8"),
        "qdrant-edge-py",
        "qdrant_edge",
        f"{_GRAPH} of int8 codes, rescored; own filter; returns ids",
    ),
    "lancedb": PeerInfo(
        ("lancedb", "LanceTable"),
        "lancedb",
        "lancedb",
        "approximate, lists of 1-bit codes, rescored; own filter; returns ids",
    ),
    "hnswlib": PeerInfo(
        ("hnswlib", "HnswlibIndex"), "hnswlib", "hnswlib", f"{_GRAPH}; filter called for each candidate; returns ids"
    ),
    "usearch": PeerInfo(
        ("usearch", "UsearchIndex"), "usearch", "usearch", f"{_GRAPH}; filtered after the search; returns ids"
    ),
    "sqlite-vec": PeerInfo(
        ("sqlite_vec", "SqliteVec"), "sqlite-vec", "sqlite_vec", f"{_EXACT}; own filter; returns ids"
    ),
    "zvec": PeerInfo(
        ("zvec", "ZvecCollection"), "zvec", "zvec", f"{_GRAPH} of int8 codes, rescored; own filter; returns ids"
    ),
}
"""Every peer by name."""

_FAISS_ABOUT: Final = {
    BaselineKind.FLAT: _EXACT,
    BaselineKind.HNSW: _GRAPH,
    BaselineKind.IVF_FLAT: "approximate, lists",
    BaselineKind.IVF_PQ: "approximate, lists of 4-bit codes, rescored",
}


def checked_names(names: Iterable[str]) -> list[str]:
    """Return the names of peers, each once, in the order given.

    Raises:
        UsageError: there is no peer of a name, or its package is not installed.
    """
    checked = list(dict.fromkeys(names))
    for name in checked:
        if name not in PEERS:
            raise UsageError(f"There is no peer {name!r}.", remedy=f"The peers are {', '.join(PEERS)}.")
    for name in checked:
        if importlib.util.find_spec(PEERS[name].module) is None:
            raise _not_installed(name)
    return checked


def peer_of(name: str, index: str = "auto") -> Peer[Any]:
    """Return a new instance of a side: `OURS`, with an index of kind `index`, a kind of Faiss index, or a peer.

    Raises:
        UsageError: the package of the peer cannot be imported.
    """
    if name == OURS:
        home, kind, arguments = "lookalike_catalog", "LookalikeCatalog", [index]
    elif name in list(BaselineKind):
        home, kind, arguments = "faiss_index", "FaissIndex", [BaselineKind(name)]
    else:
        (home, kind), arguments = PEERS[name].home, []
    try:
        module = importlib.import_module(f"{_HERE}.{home}")
    except ImportError as error:
        raise _not_installed(name) from error
    peer: Peer[Any] = getattr(module, kind)(*arguments)
    return peer


def about(name: str) -> str:
    """Return how a side searches and filters, and its answers, in a few words."""
    if name == OURS:
        return "approximate, or exact where that is quicker; filter as text; returns keys and two fields"
    if name in PEERS:
        return PEERS[name].about
    return f"{_FAISS_ABOUT[BaselineKind(name)]}; filter as a bitmap; returns ids"


def version_of(name: str) -> str:
    """Return the version of a side's package."""
    if name in PEERS:
        return importlib.metadata.version(PEERS[name].distribution)
    return importlib.metadata.version("lookalike" if name == OURS else "faiss-cpu")


def _not_installed(name: str) -> UsageError:
    return UsageError(
        f"The peer {name} needs the package {PEERS[name].distribution}, which is not installed or cannot be imported.",
        remedy="Install it with: pip install 'lookalike[bench]'",
    )
