"""Search results as JSON values, in one shape for the command line and the REST API."""

from __future__ import annotations

from lookalike import Hit, Results

__all__ = ["hit_json", "results_json"]


def hit_json(hit: Hit) -> dict[str, object]:
    """Return one hit as a JSON object."""
    return {
        "key": hit.key,
        "score": round(hit.score, 6),
        "scores": {name: round(score, 6) for name, score in hit.scores.items()},
        "image": hit.image,
        "fields": dict(hit.fields),
    }


def results_json(results: Results) -> dict[str, object]:
    """Return results as a JSON object: the hits, and how they were found."""
    return {
        "hits": [hit_json(hit) for hit in results],
        "total": results.total,
        "exact": results.exact,
        "plan": results.plan,
        "took_ms": round(results.took_ms, 3),
        "notices": list(results.notices),
    }
