"""The settings table: every value that a person may set for a whole machine or process.

Each row feeds the environment variable, the option of the command line where there is one, and `docs/settings.md`. The
command line reads the environment when it parses its arguments and passes the values down; nothing is read at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "OTHERS", "SETTINGS", "Setting"]

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 7860


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    `variable` is the environment variable. `option` is the command-line option, which overrides the variable; empty if
    there is none. `type` names the kind of value for people, and `default` what applies where neither is set.
    """

    name: str
    variable: str
    type: str
    default: str
    help: str
    option: str = ""


SETTINGS: Mapping[str, Setting] = {
    row.name: row
    for row in (
        Setting(
            name="host",
            variable="LOOKALIKE_HOST",
            type="host name or IP address",
            default=DEFAULT_HOST,
            help="Address to listen on. Any address but this machine's own requires an API key.",
            option="--host",
        ),
        Setting(
            name="port",
            variable="LOOKALIKE_PORT",
            type="integer, 0 to 65535",
            default=str(DEFAULT_PORT),
            help="Port to listen on; 0 picks a free one.",
            option="--port",
        ),
        Setting(
            name="api_key",
            variable="LOOKALIKE_API_KEY",
            type="text",
            default="no key",
            help="Key that every caller of the server must present.",
            option="--api-key",
        ),
        Setting(
            name="models",
            variable="LOOKALIKE_MODELS",
            type="folder",
            default="the hub's cache",
            help="Folder of model weights, searched first; `lookalike models fetch` writes to it.",
        ),
    )
}
"""The settings of Lookalike, by name."""

OTHERS: Mapping[str, str] = {
    "HF_ENDPOINT": "Address of a mirror of the Hugging Face hub, for `lookalike models fetch`.",
    "HF_HOME": "Folder of the Hugging Face cache, where downloaded weights are kept.",
    "OMP_NUM_THREADS": "Number of threads that Faiss and torch use.",
    "TORCH_HOME": "Folder of torch's cache, searched for torchvision weights.",
    "XDG_CACHE_HOME": "Folder of caches; the hashes of weights are remembered in `lookalike/weights.json` below it.",
}
"""Environment variables of other projects that Lookalike or a library it uses honours, with their meaning here."""
