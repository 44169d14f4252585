"""Pictures that visitors of the page have sent: each is known by an id that cannot be guessed, to who sent it only.

They lie in nameless files (small ones in memory), so that no path leads to one, none is ever looked up by a name from
outside, and nothing is left on the disk when the server ends, however it ends.
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

__all__ = ["Forms", "Uploads", "create_upload", "remove_left_folders", "room_for_pictures", "session_of"]

_FOLDER_PREFIX = "lookalike-uploads-"
_LEFT_SECONDS = 3600
_COOKIE = "lookalike-session"
_ID = re.compile(r"[\w-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Kept:
    session: str
    file: BinaryIO
    size: int
    until: float


class Uploads:
    """The pictures that are kept, the newest last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def put(self, session: str, file: BinaryIO, size: int) -> str:
        """Keep a picture of `size` bytes for one session and return its id; the oldest make room for it."""
        picture = secrets.token_urlsafe(32)
        with self._lock:
            own = [name for name, kept in self._kept.items() if kept.session == session]
            for name in own[: max(len(own) + 1 - MAX_UPLOADS_OF_ONE, 0)]:
                self._forget(name)
            self._forget_old()
            while self._kept and (len(self._kept) >= MAX_UPLOADS or self._bytes() + size > MAX_UPLOADED_BYTES):
                self._forget(next(iter(self._kept)))
            self._kept[picture] = _Kept(session, file, size, time.monotonic() + UPLOAD_SECONDS)
        return picture

    def read(self, session: str, picture: str) -> bytes:
        """Read a picture.

        Raises:
            NotAPicture: there is none of that id, or it is another session's.
        """
        with self._lock:
            self._forget_old()
            kept = self._kept.get(picture)
            if kept is None or not session or not secrets.compare_digest(kept.session, session):
                raise NotAPicture("The picture is no longer here; choose it again.")
            kept.file.seek(0)
            return kept.file.read()

    def close(self) -> None:
        """Forget all pictures."""
        with self._lock:
            for name in list(self._kept):
                self._forget(name)

    def _bytes(self) -> int:
        return sum(kept.size for kept in self._kept.values())

    def _forget_old(self) -> None:
        now = time.monotonic()
        for name in [name for name, kept in self._kept.items() if kept.until < now]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._kept.pop(name).file.close()


class Forms:
    """Counts the forms with pictures that are under way, each of which may lie on the disk. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count one form while it is under way.

        Raises:
            HTTPException: as many as may be are under way already (503).
        """
        if self._count >= self._most:
            raise HTTPException(503, "Too many pictures are being sent at the moment; try again in a few seconds.")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def create_upload(uploads: Uploads) -> APIRouter:
    """Build the one route that pictures for the page come by. It stands where Gradio's own would be, in its place."""
    router = APIRouter()
    forms = Forms(MAX_WAITING_FORMS)

    @router.post("/gradio_api/upload", include_in_schema=False)
    async def upload(request: Request) -> JSONResponse:
        with forms.admitted(), room_for_pictures():
            form = await request.form(max_files=1, max_fields=0)
        file = form.get("files")
        if not isinstance(file, UploadFile) or file.size is None or file.size > MAX_BYTES:
            await form.close()
            if isinstance(file, UploadFile):
                raise HTTPException(413, f"The picture is too large; at most {MAX_BYTES // 2**20} MB are read.")
            raise HTTPException(422, "Send one picture, as a file in a form's field named files.")
        session = session_of(request.cookies) or secrets.token_urlsafe(32)
        picture = await run_in_threadpool(uploads.put, session, file.file, file.size)
        answer = JSONResponse([picture], headers={"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, session, httponly=True, samesite="lax", secure=secure)
        return answer

    return router


def session_of(cookies: Mapping[str, str]) -> str:
    """Return the session that a request belongs to, empty where it has none."""
    session = cookies.get(_COOKIE, "")
    return session if _ID.fullmatch(session) else ""


@contextlib.contextmanager
def room_for_pictures() -> Iterator[None]:
    """Answer in words when what is received does not fit on the disk; nothing of it stays there."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise HTTPException(507, "The server has no room for the picture at the moment; try again later.") from None


def remove_left_folders() -> None:
    """Remove folders of uploads that killed servers of earlier versions left among the temporary files.

    Only folders of this user's own go, and only those in which nothing was written for an hour: a server of such a
    version that still runs removes files of that age itself.
    """
    owner, latest = getattr(os, "getuid", lambda: 0)(), time.time() - _LEFT_SECONDS
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            found = [path.lstat() for path in (folder, *folder.rglob("*"))]
            left = all(one.st_uid == owner and one.st_mtime < latest for one in found)
            if left and stat.S_ISDIR(found[0].st_mode):
                shutil.rmtree(folder)
