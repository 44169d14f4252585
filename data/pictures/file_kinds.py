"""The kind of a file that is not a picture, in words, by its first bytes. A file name is not looked at."""

from __future__ import annotations

import re

import orjson

from lookalike.data.pictures.video import video_kind

__all__ = ["kind_of"]

_HEAD_BYTES = 4096
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"ID3", "an audio file"),
    (b"fLaC", "an audio file"),
    (b"OggS", "an audio or video file"),
    (b"FORM", "an audio file"),
    (b"#!AMR", "an audio file"),
    (b"MThd", "a MIDI file"),
    (b"FLV\1", "a video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "an audio or video file (Windows Media)"),
    (b"\0\0\1\xba", "a video"),
    (b"\0\0\1\xb3", "a video"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an older Office document"),
    (b"{\\rtf", "a rich text document"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a program"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\0\1\0\0\0", "a font"),
    (b"OTTO", "a font"),
    (b"8BPS\0\2", "a large Photoshop file (PSB)"),
    (b"8BPS", "a Photoshop file with other than 8 bits a channel"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\2\0", "a cursor"),
    (b"icns", "an icon"),
    (b"gimp xcf", "a GIMP file"),
    (b"DDS ", "a DirectDraw texture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"SIMPLE  =", "a FITS file"),
    (b"version https://git-lfs.github.com", "a Git LFS pointer, whose file was not downloaded"),
    (b"-----BEGIN ", "a certificate or key"),
    (b"bplist", "a property list"),
)
_OFFICE = ((b"word/", "a Word document"), (b"xl/", "an Excel workbook"), (b"ppt/", "a PowerPoint presentation"))
_OPEN_DOCUMENT = b"mimetypeapplication/"
_ZIP = (b"PK\3\4", b"PK\5\6")
_TAR_AT, _TAR = 257, b"ustar"
_DICOM_AT, _DICOM = 128, b"DICM"
_AUDIO_BRANDS = (b"M4A ", b"M4B ")
_MPEG_AUDIO = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfb\xf1\xf9]")
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|script|meta|div|p|h1)\b", re.IGNORECASE)
_XML_ERROR = re.compile(rb"<(?:\w+:)?(?:Error|Fault|ErrorResponse)\b")
_ERROR_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80}?)\s*</title", re.IGNORECASE)
_DATA_ADDRESS = re.compile(rb"data:image/", re.IGNORECASE)
_ADDRESS = re.compile(rb"https?://\S+\s*\Z", re.IGNORECASE)
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_MAX_TITLE = 60
_MAX_JSON_BYTES = 64 * 1024
_ERROR_ENTRIES = frozenset(("error", "errors", "exception", "fault", "detail", "errorcode", "error_code"))
_MESSAGE_ENTRIES = frozenset(("message", "status", "statuscode", "code"))
_MAX_ERROR_ENTRIES = 6
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_LETTERS_SHARE = 0.7


def kind_of(content: bytes) -> str | None:
    """Return what a file is, such as "a PDF" or "a web page (404 Not Found)", or None if it is not recognised."""
    head = content[:_HEAD_BYTES]
    if video_kind(head[:16]):
        return "an audio file" if head[8:12] in _AUDIO_BRANDS else "a video"
    if head.startswith(_ZIP):
        return _zip_kind(content)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF"):
        return {b"WAVE": "an audio file", b"AVI ": "a video", b"ACON": "a cursor"}.get(head[8:12])
    if head[_TAR_AT:].startswith(_TAR):
        return "a tar archive"
    if head[_DICOM_AT:].startswith(_DICOM):
        return "a DICOM file"
    if _MPEG_AUDIO.match(head):
        return "an audio file"
    return _text_kind(content)


def _zip_kind(content: bytes) -> str:
    head = content[:_HEAD_BYTES]
    if _OPEN_DOCUMENT in head[:80]:
        return "an e-book" if b"epub" in head[:80] else "an OpenDocument file"
    for folder, kind in _OFFICE:
        if folder in head or folder in content[-_HEAD_BYTES:]:
            return kind
    return "a ZIP archive"


def _text_kind(content: bytes) -> str | None:
    head = content[:_HEAD_BYTES]
    text = _as_utf8(head)
    start = text.lstrip()
    if not start.strip(b"\0"):
        return "a file of zeros or blanks" if not content.strip(b"\0 \t\r\n") else None
    if _ADDRESS.match(start) and len(content) < _HEAD_BYTES:
        return "an address in a text file"
    if _DATA_ADDRESS.match(start):
        return "a data address in a text file"
    if start.startswith(b"<"):
        if _HTML.search(start):
            return f"a web page{_titled(start)}"
        return "an error answer in XML" if _XML_ERROR.search(start) else "an XML file"
    if start.startswith((b"{", b"[")):
        return _json_kind(content, start)
    return "a text file" if _is_text(text) else None


def _titled(page: bytes) -> str:
    found = _ERROR_TITLE.search(page)
    title = " ".join(found[1].decode("utf-8", "replace").split())[:_MAX_TITLE] if found else ""
    return f" ({title})" if title and title.isprintable() else ""


def _as_utf8(head: bytes) -> bytes:
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "ignore").encode()
    return head


def _json_kind(content: bytes, start: bytes) -> str | None:
    """Return the kind of a file that begins like JSON; it is an error answer if an entry of its object says so."""
    if len(content) <= _MAX_JSON_BYTES:
        try:
            answer = orjson.loads(_as_utf8(content))
        except ValueError:
            return "a text file" if _is_text(start) else None
        names = {name.lower() for name in answer} if isinstance(answer, dict) else set()
        is_error = names & _ERROR_ENTRIES or (names & _MESSAGE_ENTRIES and len(names) <= _MAX_ERROR_ENTRIES)
        return "an error answer in JSON" if is_error else "a JSON file"
    return "a JSON file" if _is_text(start) else None


def _is_text(head: bytes) -> bool:
    """Return whether bytes are text in UTF-8 or an encoding of one byte: no control characters but blanks."""
    if _CONTROLS.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4 or sum(byte < 128 for byte in head) > _LETTERS_SHARE * len(head)
    return True
