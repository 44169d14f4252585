"""The names of all sides, and how to get one: a peer's package is imported only when that peer is asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from lookalike.data.errors import UsageError
from lookalike.retrieval.bench.peers.faiss_index import FaissIndex
from lookalike.retrieval.bench.peers.hnswlib import HnswlibIndex
from lookalike.retrieval.bench.peers.lancedb import LanceTable
from lookalike.retrieval.bench.peers.lookalike_catalog import LookalikeCatalog
from lookalike.retrieval.bench.peers.peer import Peer
from lookalike.retrieval.bench.peers.qdrant_edge import QdrantEdge, QdrantEdgeInt8
from lookalike.retrieval.bench.peers.sqlite_vec import SqliteVec
from lookalike.retrieval.bench.peers.usearch import UsearchIndex
from lookalike.retrieval.bench.peers.zvec import ZvecCollection
from lookalike.retrieval.vector_index.baselines import BaselineKind

__all__ = ["OURS", "PEERS", "PeerInfo", "about", "checked_names", "peer_of", "version_of"]

OURS: Final = "lookalike"

_EXACT, _GRAPH = "exact", "approximate, graph"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """Facts about a peer that need no import of its package.

    `make` builds it from its imported `modules`, `distribution` is the package on PyPI, and `about` describes how it
    searches and filters.
    """

    make: Callable[..., Peer[Any]]
    distribution: str
    modules: tuple[str, ...]
    about: str


PEERS: Final = {
    "qdrant-edge": PeerInfo(QdrantEdge, "qdrant-edge-py", ("qdrant_edge",), f"{_GRAPH}; own filter; returns ids"),
    "qdrant-edge-int8": PeerInfo(
        QdrantEdgeInt8,
        "qdrant-edge-py",
        ("qdrant_edge",),
        f"{_GRAPH} of int8 codes, rescored; own filter; returns ids",
    ),
    "lancedb": PeerInfo(
        LanceTable,
        "lancedb",
        ("lancedb", "pyarrow"),
        "approximate, lists of 1-bit codes, rescored; own filter; returns ids",
    ),
    "hnswlib": PeerInfo(
        HnswlibIndex, "hnswlib", ("hnswlib",), f"{_GRAPH}; filter called for each candidate; returns ids"
    ),
    "usearch": PeerInfo(
        UsearchIndex, "usearch", ("usearch.index",), f"{_GRAPH}; filtered after the search; returns ids"
    ),
    "sqlite-vec": PeerInfo(SqliteVec, "sqlite-vec", ("apsw", "sqlite_vec"), f"{_EXACT}; own filter; returns ids"),
    "zvec": PeerInfo(ZvecCollection, "zvec", ("zvec",), f"{_GRAPH} of int8 codes, rescored; own filter; returns ids"),
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
        packages = {module.partition(".")[0] for module in PEERS[name].modules}
        if any(importlib.util.find_spec(package) is None for package in packages):
            raise _not_installed(name)
    return checked


def peer_of(name: str, index: str = "auto") -> Peer[Any]:
    """Return a new instance of a side: `OURS`, with an index of kind `index`, a kind of Faiss index, or a peer.

    Raises:
        UsageError: the package of the peer cannot be imported.
    """
    if name == OURS:
        return LookalikeCatalog(index)
    if name in list(BaselineKind):
        return FaissIndex(BaselineKind(name))
    try:
        libraries = [importlib.import_module(module) for module in PEERS[name].modules]
    except ImportError as error:
        raise _not_installed(name) from error
    return PEERS[name].make(*libraries)


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
