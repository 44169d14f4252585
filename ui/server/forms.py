"""Forms: their pictures go to the disk, and their text is bounded in total."""

from __future__ import annotations

from fastapi import HTTPException, Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from lookalike.ui.server.bodies import is_form
from lookalike.ui.server.bounds import MAX_FORM_TEXT_BYTES

__all__ = ["read_form"]


class _TooMuchText(Exception):
    pass


class _BoundedParser(MultiPartParser):
    """A parser that refuses a form whose parts other than files have too many bytes together."""

    spool_max_size = 64 * 1024

    _text_left = MAX_FORM_TEXT_BYTES

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            self._text_left -= end - start
            if self._text_left < 0:
                raise _TooMuchText
        super().on_part_data(data, start, end)


async def read_form(request: Request, *, max_files: int, max_fields: int) -> FormData:
    """Receive a form, which the caller closes.

    Raises:
        HTTPException: it is not a form or cannot be read (400), or has too much text (413).
    """
    if not is_form(request.headers):
        raise HTTPException(400, "Send a form, multipart/form-data.")
    parser = _BoundedParser(
        request.headers,
        request.stream(),
        max_files=max_files,
        max_fields=max_fields,
        max_part_size=MAX_FORM_TEXT_BYTES,
    )
    try:
        return await parser.parse()
    except _TooMuchText:
        size = f"{MAX_FORM_TEXT_BYTES // 2**20} MB"
        raise HTTPException(413, f"The form has too much text; at most {size} are read besides its files.") from None
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
