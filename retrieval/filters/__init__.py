"""The filter language, Milvus's boolean expressions: parsing, checks, evaluation over columns, and description.

    category == "shoes" and 10 < price <= 80        == != < <= > >=, ranges, and or not && || !, parentheses
    brand in ["Ada", "Bo"] or brand not in {names}  lists; {name} is a parameter, bound to a value and never pasted
    title like "Red%" and sku not like "__-%"       % any run of characters, _ any one, a backslash before either
    stock is null, sale_price is not null           the only conditions that are never unknown
    price * 2 - shipping / 3 > -weight ** 2         + - * / % ** over numbers
    in_stock and not sold_out                       a boolean field alone
    array_contains(tags, "new"), array_contains_any(tags, ["a", "b"]), array_contains_all(...), array_length(tags) > 2
    added >= "2026-05-31", added < ISO "2026-05-31T12:00:00+02:00"
    $meta["odd name"] == 1                          any field by its name, when that is not a plain word

Keywords may be in any case. Logic has three values, as in SQL: a comparison with null is unknown, and an item passes
only if the whole filter is true. `operators` documents which results are exact and which are null.
"""

from __future__ import annotations

from lookalike.retrieval.filters.conditions import Condition
from lookalike.retrieval.filters.filter import Filter

__all__ = ["Condition", "Filter"]
