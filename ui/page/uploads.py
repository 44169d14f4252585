"""Pictures that visitors of the page have uploaded, each under a random id that is valid in the visitor's session only.

They are kept in unnamed temporary files, small ones in memory. No path leads to a picture, no name from outside is ever
used to look one up, and nothing remains on the disk when the server ends, even if it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import MAX_BYTES
from lookalike.ui.server.bounds import (
    MAX_UPLOADED_BYTES,
    MAX_UPLOADS,
    MAX_UPLOADS_OF_ONE,
    MAX_WAITING_FORMS,
    UPLOAD_SECONDS,
)
from lookalike.ui.server.forms import read_form

__all__ = ["FormLimit", "Uploads", "create_upload", "full_disk_as_507", "remove_leftover_folders", "session_of"]

_FOLDER_PREFIX = "lookalike-uploads-"
_LEFTOVER_SECONDS = 3600
_COOKIE = "lookalike-session"
_ID = re.compile(r"[\w-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Upload:
    """`size` is in bytes; `until` is the time, of the monotonic clock, at which the picture is dropped."""

    session: str
    file: BinaryIO
    size: int
    until: float


class Uploads:
    """The uploaded pictures, by id, from oldest to newest. Safe to use from several threads."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def put(self, session: str, file: BinaryIO, size: int) -> str:
        """Keep a picture of `size` bytes for one session and return its id; the oldest pictures make room for it."""
        picture = secrets.token_urlsafe(32)
        with self._lock:
            own = [name for name, upload in self._uploads.items() if upload.session == session]
            for name in own[: max(len(own) + 1 - MAX_UPLOADS_OF_ONE, 0)]:
                self._drop(name)
            self._drop_expired()
            while self._uploads and (len(self._uploads) >= MAX_UPLOADS or self._bytes() + size > MAX_UPLOADED_BYTES):
                self._drop(next(iter(self._uploads)))
            self._uploads[picture] = _Upload(session, file, size, time.monotonic() + UPLOAD_SECONDS)
        return picture

    def read(self, session: str, picture: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            NotAPicture: there is no picture with that id, or it belongs to another session.
        """
        with self._lock:
            self._drop_expired()
            upload = self._uploads.get(picture)
            if upload is None or not session or not secrets.compare_digest(upload.session, session):
                raise NotAPicture("The picture is no longer here; choose it again.")
            upload.file.seek(0)
            return upload.file.read()

    def close(self) -> None:
        """Drop all pictures."""
        with self._lock:
            for name in list(self._uploads):
                self._drop(name)

    def _bytes(self) -> int:
        return sum(upload.size for upload in self._uploads.values())

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for name in [name for name, upload in self._uploads.items() if upload.until < now]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._uploads.pop(name).file.close()


class FormLimit:
    """Limits how many forms with pictures are in progress, since each takes room on the disk.

    It belongs to one event loop and is not safe to use from several threads.
    """

    def __init__(self, max_forms: int) -> None:
        self._max_forms = max_forms
        self._count = 0

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy one place while a form is in progress.

        Raises:
            HTTPException: no place is free (503).
        """
        if self._count >= self._max_forms:
            raise HTTPException(503, "Too many pictures are being sent at the moment; try again in a few seconds.")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def create_upload(uploads: Uploads) -> APIRouter:
    """Return the route that receives the page's pictures, at the path of Gradio's own route, which it replaces."""
    router = APIRouter()
    forms = FormLimit(MAX_WAITING_FORMS)

    @router.post("/gradio_api/upload", include_in_schema=False)
    async def upload(request: Request) -> JSONResponse:
        with forms.slot(), full_disk_as_507():
            form = await read_form(request, max_files=1, max_fields=0)
        file = form.get("files")
        if not isinstance(file, UploadFile) or file.size is None or file.size > MAX_BYTES:
            await form.close()
            if isinstance(file, UploadFile):
                raise HTTPException(413, f"The picture is too large; at most {MAX_BYTES // 2**20} MB are read.")
            raise HTTPException(422, "Send one picture, as a file in the form field files.")
        session = session_of(request.cookies) or secrets.token_urlsafe(32)
        picture = await run_in_threadpool(uploads.put, session, file.file, file.size)
        answer = JSONResponse([picture], headers={"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, session, httponly=True, samesite="lax", secure=secure)
        return answer

    return router


def session_of(cookies: Mapping[str, str]) -> str:
    """Return the session that a request belongs to, or an empty string if it has none."""
    session = cookies.get(_COOKIE, "")
    return session if _ID.fullmatch(session) else ""


@contextlib.contextmanager
def full_disk_as_507() -> Iterator[None]:
    """Turn the error of a full disk into an answer.

    Raises:
        HTTPException: the disk has no room for the data of the request (507).
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise HTTPException(507, "The server has no room for the picture at the moment; try again later.") from None


def remove_leftover_folders() -> None:
    """Remove the upload folders that killed servers of earlier versions left in the temporary directory.

    A folder is removed if it belongs to this user and nothing in it was written for an hour. A running server of an
    earlier version deletes files of that age itself.
    """
    owner, newest = getattr(os, "getuid", lambda: 0)(), time.time() - _LEFTOVER_SECONDS
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            found = [path.lstat() for path in (folder, *folder.rglob("*"))]
            is_leftover = all(one.st_uid == owner and one.st_mtime < newest for one in found)
            if is_leftover and stat.S_ISDIR(found[0].st_mode):
                shutil.rmtree(folder)
