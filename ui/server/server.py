"""The application over one catalog (REST API, page, metrics, health), and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount

from lookalike import Catalog
from lookalike.data.errors import LookalikeError, UsageError
from lookalike.ui.errors import status_of
from lookalike.ui.page.call_checks import CallChecks
from lookalike.ui.page.gradio_app import PageApp
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.page.uploads import Uploads, create_upload, remove_leftover_folders
from lookalike.ui.process import configure
from lookalike.ui.rest.reference import reference_html
from lookalike.ui.rest.refusals import refusal_words
from lookalike.ui.rest.routes import create_api
from lookalike.ui.server.guard import LOOPBACK, Guard, error_body
from lookalike.ui.server.messages import UNEXPECTED, public_words
from lookalike.ui.server.metrics import CONTENT_TYPE_LATEST, Metrics
from lookalike.ui.settings import DEFAULT_HOST, DEFAULT_PORT

__all__ = ["create_app", "serve"]

_FOREVER: Final = "public, max-age=31536000, immutable"
_STATIC: Final = Path(__file__).parents[1] / "page" / "static"

log = logging.getLogger("lookalike")


def create_app(catalog: Catalog, *, api_key: str | None = None, hosts: Collection[str] | None = None) -> FastAPI:
    """Build the application.

    If `api_key` is set, every request must carry it: for the page, for pictures and for the API. `hosts` are the host
    names that the server answers to; None means any. The process is set up by `configure`.
    """
    configure()
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
    api, upload = create_api(catalog, metrics), create_upload(uploads)
    app.include_router(api)
    _add_routes(app, catalog, metrics)
    app.include_router(upload)
    others = [*app.router.routes, *api.routes, *upload.routes]  # of a router FastAPI may list only the router itself
    _in_a_loop(lambda: _mount_page(app, catalog, uploads, metrics, others))
    return app


def serve(catalog: Catalog, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT, *, api_key: str | None = None) -> None:
    """Serve until stopped.

    Raises:
        UsageError: `host` is not an address of this machine alone and there is no `api_key`, or the server cannot
            listen there.
    """
    if not _is_loopback(host) and not api_key:
        raise UsageError(
            f"{host} can be reached from other machines, and there is no API key.",
            remedy="Set a key that callers have to know, with --api-key or LOOKALIKE_API_KEY.",
        )
    with _bound(host, port) as listener:
        app = create_app(catalog, api_key=api_key, hosts=None if api_key else LOOPBACK)
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Lookalike is at http://{shown}:{listener.getsockname()[1]} (stop with Ctrl+C)\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, http="h11", log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listener])


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    """Install handlers that answer every error with the body that `error_body` builds."""

    @app.exception_handler(LookalikeError)
    async def lookalike_error(_: Request, error: LookalikeError) -> JSONResponse:
        metrics.failed(error)
        status = status_of(error)
        if status >= 500:
            log.error("A request failed.", exc_info=error)
        return JSONResponse(error_body(type(error).__name__, *public_words(error)), status)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        metrics.failed(error)
        return JSONResponse(error_body("UsageError", *refusal_words(error.errors()[0])), 422)

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
        return JSONResponse(error_body("InternalError", *UNEXPECTED), 500)


def _add_routes(app: FastAPI, catalog: Catalog, metrics: Metrics) -> None:
    @app.get("/thumbnails/{image_id}.webp", summary="Get a thumbnail", response_class=FileResponse)
    def thumbnail(image_id: str) -> FileResponse:
        """Return the thumbnail of a picture as WebP, by the `image_id` of a hit or item."""
        path = catalog.thumbnail(image_id)
        if path is None:
            raise HTTPException(404, "There is no such picture.")
        return FileResponse(path, media_type="image/webp", headers={"Cache-Control": _FOREVER})

    @app.get("/healthz", summary="Check that the server can search")
    def health() -> dict[str, str]:
        """Return status 200 if the catalog can be read, and an error otherwise."""
        catalog.count()
        return {"status": "ok"}

    @app.get("/metrics", summary="Get metrics for Prometheus", response_class=Response)
    def measures() -> Response:
        """Return the number of searches, their times, and the number of errors by type."""
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
    """Return a folder for Gradio's files; Gradio insists on making one, but nothing is written to it here."""
    return Path(tempfile.mkdtemp(prefix="lookalike-page-"))


def _mount_page(
    app: FastAPI, catalog: Catalog, uploads: Uploads, metrics: Metrics, others: Sequence[BaseRoute]
) -> None:
    """Mount the page at the root, after all `others`; Gradio reads its folder when it is imported."""
    os.environ["GRADIO_TEMP_DIR"] = str(_gradio_folder())
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
    mounted.app = PageApp(mounted.app, checks, title=catalog.name, others=others)
    shutil.rmtree(_gradio_folder(), ignore_errors=True)


def _in_a_loop(build: Callable[[], None]) -> None:
    """Call `build` inside a running event loop; outside one, Gradio makes several loops and never closes them."""

    async def built() -> None:
        build()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(built())
    else:
        build()


def _warm(catalog: Catalog) -> None:
    """Load the model and run it once, so that the first search is as fast as later ones."""
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


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and does not listen yet.

    Raises:
        UsageError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (UnicodeError, TypeError):  # a name that is not text
        listener.close()
        raise UsageError(f"{host!r} is no address to listen on.", remedy="Choose another with --host.") from None
    except OSError as error:
        listener.close()
        reason, remedy = _why_unbound(error)
        raise UsageError(f"Cannot listen on {host}, port {port}: {reason}.", remedy=remedy) from None
    return listener


def _why_unbound(error: OSError) -> tuple[str, str]:
    """Return why a socket could not be bound to an address, and what to do next."""
    hosts = "Use 127.0.0.1 to serve this machine only, or 0.0.0.0 to serve its networks too: --host 127.0.0.1"
    if isinstance(error, socket.gaierror):
        return "there is no host of that name", hosts
    match error.errno:
        case errno.EADDRNOTAVAIL:
            return "it is not an address of this machine", hosts
        case errno.EADDRINUSE:
            return "another program uses it", "Choose another port, or 0 for a free one: --port 0"
        case errno.EACCES | errno.EPERM:
            return "this user may not use it", "Choose a port above 1023, with --port."
    return error.strerror or str(error), "Choose another --host or --port."
