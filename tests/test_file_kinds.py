from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import pytest

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import decode


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "application/epub+zip" if name == "mimetype" else "x" * 50)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return buffer.getvalue()


PRODUCTS = json.dumps([{"id": number, "status": "active", "message": "?"} for number in range(50)]).encode()
KINDS = [
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file"),
    (b"<!DOCTYPE html><html><head><title> 404  Not\nFound </title>", "a web page (404 Not Found)"),
    (b"\xef\xbb\xbf  <html lang='en'><body>Gone", "a web page"),
    ("<!doctype HTML><p>Ünknown".encode("utf-16"), "a web page"),
    (b"<script>location='/login'</script>", "a web page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an error answer in XML"),
    (b'<?xml version="1.0"?><rss></rss>', "an XML file"),
    (b'{"error": {"code": 404}}', "an error answer in JSON"),
    (b' {"Message": "Forbidden"}', "an error answer in JSON"),
    (b'{"statusCode": 500, "message": "Internal Server Error"}', "an error answer in JSON"),
    (b'{"sku": 7, "title": "A chair"}', "a JSON file"),
    (PRODUCTS, "a JSON file"),
    (PRODUCTS * 20, "a text file"),
    (b"[" + PRODUCTS * 40, "a JSON file"),
    (b"just some text", "a text file"),
    ("Straße, Größe und Maß\n".encode("latin-1"), "a text file"),
    ("写真ではない\n".encode(), "a text file"),
    (b"BMW catalogue of 2024", "a text file"),
    (b"https://cdn.example.com/1.jpg\n", "an address in a text file"),
    (b"data:image/png;base64,iVBORw0KGgo=", "a data address in a text file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    (zipped("a.jpg"), "a ZIP archive"),
    (zipped("[Content_Types].xml", "word/document.xml"), "a Word document"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
    (zipped("mimetype", "OEBPS/1.html"), "an e-book"),
    (gzip.compress(b"x"), "a gzip archive"),
    (tarred(), "a tar archive"),
    (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
    (b"ID3\x04\0\0\0\0", "an audio file"),
    (b"\xff\xfb\x90\x64" + bytes(400), "an audio file"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "an audio file"),
    (b"\0\0\0\x20ftypM4A \0\0\0\0", "an audio file"),
    (b"\0\0\0\x20ftypisom\0\0\x02\0", "a video"),
    (b"\x1a\x45\xdf\xa3" + bytes(30), "a video"),
    (b"RIFF\x24\0\0\0AVI LIST", "a video"),
    (b"\0\0\1\0\1\0\x10\x10\0\0\1\0", "an icon"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"8BPS\0\2" + bytes(30), "a large Photoshop file"),
    (bytes(5000), "a file of zeros or blanks"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an older Office document"),
]


@pytest.mark.parametrize(("content", "kind"), KINDS, ids=[kind for _, kind in KINDS])
def test_a_refused_file_is_named_by_its_kind(content: bytes, kind: str) -> None:
    with pytest.raises(NotAPicture) as caught:
        decode(content)
    assert f"This is {kind}" in str(caught.value)
    assert "not a picture" in str(caught.value)


@pytest.mark.parametrize("content", [b"\x93\x94\x95\x01\x02", b"\xff\xd8\xff\xe0", b"II*\0", b"BM\x10\0\0\0\0\0"])
def test_other_bytes_are_refused_without_a_guess(content: bytes) -> None:
    with pytest.raises(NotAPicture, match="not a picture in a supported format|damaged or truncated"):
        decode(content)
