"""The command that serves a catalog."""

from __future__ import annotations

import typer

from lookalike import Catalog
from lookalike.ui.cli.options import ApiKeyOption, CatalogArgument, HostOption, PortOption
from lookalike.ui.settings import DEFAULT_HOST, DEFAULT_PORT

__all__ = ["app", "serve"]

app = typer.Typer()


@app.command()
def serve(
    catalog: CatalogArgument,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    api_key: ApiKeyOption = None,
) -> None:
    """Serve the page and the REST API."""
    from lookalike.ui.server import server  # Gradio and FastAPI take seconds; `demo --no-serve` does without them

    with Catalog.open(catalog) as opened:
        server.serve(opened, host=host, port=port, api_key=api_key)
