"""One application over one catalog: the REST API, the page, metrics and health; and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from lookalike import Catalog
from lookalike.data.errors import LookalikeError, UsageError
from lookalike.ui.errors import status_of
from lookalike.ui.page.call_checks import CallChecks
from lookalike.ui.page.gradio_app import PageApp
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.page.uploads import Uploads, create_upload, remove_leftover_folders
from lookalike.ui.rest.reference import reference_html
from lookalike.ui.rest.routes import create_api
from lookalike.ui.server.guard import LOOPBACK, Guard, error_body
from lookalike.ui.server.messages import UNEXPECTED, public_message
from lookalike.ui.server.metrics import CONTENT_TYPE_LATEST, Metrics

__all__ = ["create_app", "serve"]

_FOREVER = "public, max-age=31536000, immutable"
_STATIC = Path(__file__).parents[1] / "page" / "static"
_GRADIO_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    # Its queue sums up all events with pandas after each one, for a monitor that is not served here.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
}

log = logging.getLogger("lookalike")


def create_app(catalog: Catalog, *, api_key: str | None = None, hosts: Collection[str] | None = None) -> FastAPI:
    """Build the application.

    With `api_key` everyone is asked for it, on the page, for pictures and for the API alike. `hosts` are the names that
    the server answers to; without them, any.
    """
    remove_leftover_folders()
    uploads = Uploads()
    metrics = Metrics(catalog)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(run_in_threadpool(_warm, catalog))
        yield
        await warming
        uploads.close()

    app = FastAPI(
        title=f"Lookalike: {catalog.name}",
        description="Search this catalogue by picture and by words.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, api_key=api_key, hosts=hosts)
    _add_errors(app, metrics)
    app.include_router(create_api(catalog, metrics))
    _add_routes(app, catalog, metrics)
    app.include_router(create_upload(uploads))
    _in_a_loop(lambda: _mount_page(app, catalog, uploads, metrics))
    return app


def serve(catalog: Catalog, host: str = "127.0.0.1", port: int = 7860, *, api_key: str | None = None) -> None:
    """Serve until stopped.

    Raises:
        UsageError: the address is not this machine's own and there is no key, or it cannot be listened on.
    """
    if not _is_loopback(host) and not api_key:
        raise UsageError(
            f"{host} lets other machines in; give a key that they have to know: --api-key, or LOOKALIKE_API_KEY."
        )
    with _listening(host, port) as listener:
        app = create_app(catalog, api_key=api_key, hosts=None if api_key else LOOPBACK)
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Lookalike is at http://{shown}:{listener.getsockname()[1]} (stop with Ctrl+C)\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, http="h11", log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listener])


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error in one shape."""

    @app.exception_handler(LookalikeError)
    async def lookalike_error(_: Request, error: LookalikeError) -> JSONResponse:
        metrics.failed(error)
        status = status_of(error)
        if status >= 500:
            log.error("A request failed.", exc_info=error)
        return JSONResponse(error_body(type(error).__name__, public_message(error)), status)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        metrics.failed(error)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        return JSONResponse(error_body("UsageError", f"{place[:100] or 'The body'}: {first['msg']}."), 422)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        kinds = {
            404: "NotFound",
            405: "MethodNotAllowed",
            413: "TooLarge",
            414: "TooLarge",
            422: "UsageError",
            429: "TooMany",
            503: "TooMany",
            507: "NoRoom",
        }
        body = error_body(kinds.get(error.status_code, "BadRequest"), str(error.detail))
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected_error(_: Request, error: Exception) -> JSONResponse:
        metrics.failed(error)
        return JSONResponse(error_body("InternalError", UNEXPECTED), 500)


def _add_routes(app: FastAPI, catalog: Catalog, metrics: Metrics) -> None:
    @app.get("/thumbnails/{image_id}.webp", summary="Get a small picture", response_class=FileResponse)
    def thumbnail(image_id: str) -> FileResponse:
        """Give the WebP of a picture, by the id that hits and items name."""
        path = catalog.thumbnail(image_id)
        if path is None:
            raise HTTPException(404, "There is no such picture.")
        return FileResponse(path, media_type="image/webp", headers={"Cache-Control": _FOREVER})

    @app.get("/healthz", summary="Ask whether the server can search")
    def health() -> dict[str, str]:
        """Answer 200 while the catalog can be read, an error otherwise."""
        catalog.count()
        return {"status": "ok"}

    @app.get("/metrics", summary="Get measures for Prometheus", response_class=Response)
    def measures() -> Response:
        """Give how many searches there were, how long they took, and what went wrong."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(reference_html(app.openapi(), str(request.base_url).rstrip("/")))

    for name in ("page.css", "page.js"):
        file = _STATIC / name
        kind = "text/css" if file.suffix == ".css" else "text/javascript"
        app.add_api_route(f"/{name}", _file(file, kind), methods=["GET"], include_in_schema=False)


def _file(path: Path, media_type: str) -> Callable[[], FileResponse]:
    def file() -> FileResponse:
        return FileResponse(path, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return file


@functools.cache
def _gradio_folder() -> Path:
    """Return the folder that Gradio is given for files: it makes it, and has no use for it here."""
    return Path(tempfile.mkdtemp(prefix="lookalike-page-"))


def _mount_page(app: FastAPI, catalog: Catalog, uploads: Uploads, metrics: Metrics) -> None:
    """Put the page at the root, behind every route above; Gradio reads its settings when it is imported."""
    os.environ.update(_GRADIO_SETTINGS, GRADIO_TEMP_DIR=str(_gradio_folder()))
    import gradio

    from lookalike.ui.page.page import create_web, page_theme

    page = create_web(catalog, Handlers(catalog, uploads, metrics))
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        theme=page_theme(),
        show_error=False,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )
    mounted = app.router.routes[-1]
    assert isinstance(mounted, Mount)
    inputs = {number: len(function.inputs) for number, function in page.fns.items() if function.fn is not None}
    queue = page._queue
    checks = CallChecks(inputs, queue.pending_event_ids_session, queue.pending_messages_per_session)
    mounted.app = PageApp(mounted.app, checks, title=catalog.name)
    shutil.rmtree(_gradio_folder(), ignore_errors=True)


def _in_a_loop(build: Callable[[], None]) -> None:
    """Build inside a running event loop: outside of one, Gradio makes several of its own and never closes them."""

    async def built() -> None:
        build()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(built())
    else:
        build()


def _warm(catalog: Catalog) -> None:
    """Load the model and run it once, so that the first search is as quick as the others."""
    if not catalog.reads_pictures:
        return
    try:
        catalog.search(image=Image.new("RGB", (64, 64)), limit=1)
        if catalog.reads_words:
            catalog.search("a cup", limit=1)
    except LookalikeError as error:
        log.warning("The model cannot be used: %s", error)


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (UnicodeError, TypeError):  # of a name that is not text
        listener.close()
        raise UsageError(f"{host!r} is no address to listen on; give another --host.") from None
    except OSError as error:
        listener.close()
        raise UsageError(f"Cannot listen on {host}, port {port}: {error.strerror}; give another --port.") from None
    return listener
