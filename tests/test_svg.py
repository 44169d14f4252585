from __future__ import annotations

import base64
import gzip
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures import svg
from lookalike.data.pictures.image_decoder import decode
from tests.hostile import Trap

NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
LATIN = """<?xml version='1.0' encoding='ISO-8859-1'?>
    <!-- drawn by \xe9 --> <!DOCTYPE svg PUBLIC 'a' 'b' [ <!ENTITY c 'd'> ]>"""
SQUARE = '<rect width="50" height="50" fill="#0000ff"/>'


def drawing(inside: str, before: str = "", size: str = 'width="100" height="100"') -> bytes:
    return f"{before}<svg {NAMES} {size}>{SQUARE}{inside}</svg>".encode()


def pixels(content: bytes) -> NDArray[np.int64]:
    return np.asarray(decode(content).rgb).astype(int)


def file_of(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_shapes_lie_where_geometry_puts_them_on_white() -> None:
    shapes = (
        '<circle cx="70" cy="30" r="20" fill="#ff0000" fill-opacity="0.5"/>'
        '<rect x="10" y="0" width="20" height="10" fill="#008000" transform="translate(0 80)"/>'
    )
    drawn = decode(drawing(shapes))
    assert (drawn.width, drawn.height) == drawn.rgb.size == (1024, 1024)
    y, x = (np.mgrid[0:1024, 0:1024] + 0.5) * 100 / 1024
    expected = np.full((1024, 1024, 3), 255)
    expected[(x < 50) & (y < 50)] = (0, 0, 255)
    disc = (x - 70) ** 2 + (y - 30) ** 2 < 20**2
    expected[disc] = (expected[disc] + (255, 0, 0)) // 2
    expected[(x > 10) & (x < 30) & (y > 80) & (y < 90)] = (0, 128, 0)
    difference = np.abs(np.asarray(drawn.rgb).astype(int) - expected)
    assert np.median(difference) == 0
    assert (difference.max(axis=2) > 2).mean() < 0.005  # the smoothed edges


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('width="75pt" height="37.5pt"', (1024, 512)),
        ('viewBox="0 0 50 100"', (512, 1024)),
        ('width="1000000000" height="1000000000" viewBox="0 0 50 50"', (1024, 1024)),
        ('width="2in" height="1in"', (1024, 512)),
    ],
)
def test_the_longer_side_is_fixed_whatever_size_a_drawing_claims(size: str, expected: tuple[int, int]) -> None:
    assert decode(drawing("", size=size)).rgb.size == expected


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(drawing("")),
        b"\xef\xbb\xbf" + drawing(""),
        ("<?xml version='1.0' encoding='UTF-16'?>" + drawing("").decode()).encode("utf-16"),
        LATIN.encode("latin-1") + drawing(""),
        drawing("")
        .replace(b"<svg", b"<s:svg")
        .replace(b"</svg", b"</s:svg")
        .replace(b"xmlns=", b"xmlns:s=")
        .replace(b"<rect", b"<s:rect"),
    ],
    ids=["svgz", "byte order mark", "UTF-16", "Latin 1 after a doctype", "prefixed names"],
)
def test_a_drawing_is_known_however_it_is_written(content: bytes) -> None:
    assert np.array_equal(pixels(content), pixels(drawing("")))


def test_a_picture_inside_the_drawing_is_shown() -> None:
    inner = base64.b64encode(file_of(Image.new("RGB", (8, 8), (200, 10, 30)))).decode()
    shown = pixels(drawing(f'<image x="60" y="60" width="40" height="40" href="data:image/png;base64,{inner}"/>'))
    assert shown[820, 820].tolist() == [200, 10, 30]


# --- what a hostile drawing does not get ------------------------------------------------------------------------------


@pytest.fixture
def trap() -> Iterator[Trap]:
    with Trap(file_of(Image.new("RGB", (8, 8), "red"))).open() as opened:
        yield opened


REACHING = [
    '<image width="100" height="100" xlink:href="{}"/>',
    '<image width="100" height="100" href="{}"/>',
    '<filter id="f"><feImage href="{}"/></filter><rect width="100" height="100" filter="url(#f)"/>',
    '<use xlink:href="{}#shape"/>',
    '<style>@import url("{}"); @font-face { font-family: x; src: url("{}") } rect { mask: url("{}#m") }</style>',
    '<text y="50" font-family="x" style="fill: url({}#g)">text</text>',
    '<foreignObject width="100" height="100"><img xmlns="http://www.w3.org/1999/xhtml" src="{}"/></foreignObject>',
    '<script href="{}">fetch("{}")</script>',
    '<pattern id="p" width="1" height="1" href="{}#p"/><rect width="100" height="100" fill="url({}#p)"/>',
]
PREFIXED = ['<?xml-stylesheet href="{}" type="text/css"?>', '<!DOCTYPE svg SYSTEM "{}">']


@pytest.mark.slow
@pytest.mark.parametrize("inside", REACHING)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_drawing_shows_nothing_of_a_file_it_names(inside: str, scheme: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(file_of(Image.new("RGB", (8, 8), "red")))
    named = drawing(inside.replace("{}", f"{scheme}{secret}"))
    unnamed = drawing(inside.replace("{}", f"{scheme}{tmp_path}/absent.png"))
    assert np.array_equal(pixels(named), pixels(unnamed))
    red = (pixels(named) == (255, 0, 0)).all(axis=2)
    assert not red.any()


def test_the_rasteriser_by_itself_would_show_that_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(file_of(Image.new("RGB", (8, 8), "red")))
    content = drawing(REACHING[0].replace("{}", str(secret)))
    bare = resvg_py.svg_to_bytes(svg_string=content.decode(), dpi=96.0, skip_system_fonts=True)
    with Image.open(io.BytesIO(bare)) as image:
        assert image.convert("RGB").getpixel((80, 80)) == (255, 0, 0)
    assert pixels(content)[820, 820].tolist() == [255, 255, 255]


def test_nor_from_a_drawing_inside_the_drawing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(file_of(Image.new("RGB", (8, 8), "red")))
    inner = base64.b64encode(drawing(REACHING[0].replace("{}", str(secret)))).decode()
    outer = drawing(f'<image width="100" height="100" href="data:image/svg+xml;base64,{inner}"/>')
    assert np.array_equal(pixels(outer), pixels(drawing("")))


@pytest.mark.parametrize("text", [*REACHING, *PREFIXED])
def test_a_drawing_reaches_no_network(text: str, trap: Trap) -> None:
    filled = text.replace("{}", f"{trap.address}/secret.png")
    content = drawing(filled) if text in REACHING else drawing("", before=filled)
    assert not (pixels(content) == (255, 0, 0)).all(axis=2).any()
    assert trap.count == 0


def test_an_entity_that_is_a_file_gives_nothing_of_it(tmp_path: Path) -> None:
    shape = tmp_path / "shape.txt"
    shape.write_text('<rect x="50" y="50" width="50" height="50" fill="red"/>')
    content = drawing("&leak;", before=f'<!DOCTYPE svg [<!ENTITY leak SYSTEM "file://{shape}">]>')
    try:
        shown = pixels(content)
    except NotAPicture:
        return
    assert np.array_equal(shown, pixels(drawing("")))


def test_a_pipe_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert np.array_equal(pixels(drawing(REACHING[0].replace("{}", f"{tmp_path}/pipe"))), pixels(drawing("")))


def test_a_rasteriser_that_tries_can_open_nothing(tmp_path: Path) -> None:
    attempts = """
def svg_to_bytes(**_):
    import os, socket, subprocess
    failed = []
    for attempt in (
        lambda: open("/etc/hostname"),
        lambda: os.open("/", os.O_RDONLY),
        lambda: open("written", "w"),
        lambda: socket.socket(),
        lambda: socket.socketpair(),
        lambda: os.pipe(),
        lambda: os.dup(0),
        lambda: subprocess.run(["/bin/true"], capture_output=True),
    ):
        try:
            attempt()
            failed.append("opened")
        except OSError as error:
            failed.append(type(error).__name__)
    raise ValueError(" ".join(failed) + " " + " ".join(os.environ))
"""
    (tmp_path / "resvg_py.py").write_text("import os, socket, subprocess\n" + attempts)
    child, renderer = (str(Path(svg.__file__).with_name(name)) for name in ("guarded_child.py", "svg_child.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", child, renderer, str(tmp_path), "5", str(1024**3), "64"],
        input=drawing(""),
        capture_output=True,
        env={},
        check=False,
    )
    said = done.stderr.decode().split()
    assert done.returncode == 1
    assert said[:8] == ["OSError"] * 8
    assert set(said[8:]) <= {"LC_CTYPE"}  # which Python sets itself


# --- bombs ------------------------------------------------------------------------------------------------------------


def hollow_png(side: int) -> bytes:
    """Return a PNG of some hundred bytes that claims to have `side` * `side` pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


LAUGHS = "".join(
    f'<!ENTITY {one} "{f"&{before};" * 10}">' for before, one in zip("abcdefghi", "bcdefghij", strict=True)
)
COPIES = "".join(f'<g id="u{one}">' + f'<use xlink:href="#u{one - 1}"/>' * 10 + "</g>" for one in range(1, 10))
BOMBS = {
    "a billion laughs": drawing("<desc>&j;</desc>", before=f'<!DOCTYPE svg [<!ENTITY a "ha">{LAUGHS}]>'),
    "entities in a circle": drawing("&a;", before='<!DOCTYPE svg [<!ENTITY a "&b;"><!ENTITY b "&a;">]>'),
    "a billion copies": drawing(f'<defs><rect id="u0"/>{COPIES}</defs><use xlink:href="#u9"/>'),
    "deep nesting": drawing("<g>" * 200_000 + "</g>" * 200_000),
    "nested masks": drawing("".join(f'<mask id="m{one}" mask="url(#m{one + 1})"/>' for one in range(20_000))),
    "a picture of 3,600 million pixels": drawing(
        f'<image href="data:image/png;base64,{base64.b64encode(hollow_png(60_000)).decode()}" width="9" height="9"/>'
    ),
    "300 MB packed": gzip.compress(f"<svg {NAMES}>".encode() + b" " * 300_000_000, 1),
    "no size": drawing("", size='width="nan" height="-5"'),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_or_harmless(content: bytes) -> None:
    try:
        shown = decode(content)
    except NotAPicture:
        return
    assert max(shown.rgb.size) == 1024


@pytest.mark.slow
def test_a_drawing_that_takes_too_long_is_ended() -> None:
    blur = '<feTurbulence numOctaves="1000000" baseFrequency="0.5"/>' * 100
    content = drawing(f'<filter id="f">{blur}</filter><rect width="100" height="100" filter="url(#f)"/>')
    with pytest.raises(NotAPicture, match="more than 1 seconds"):
        svg.draw(content, cpu_seconds=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (drawing("")[:-9], "cannot be rendered"),
        (gzip.compress(drawing(""))[:-12], "truncated"),
        (drawing("").replace(b"#0000ff", b"#ffffff"), "shows nothing"),
        (b"<?xml version='1.0' encoding='UTF-7'?>" + drawing(""), "Save it as UTF-8"),
        (b"\xff" + drawing("")[1:] + b"\xff", "not a picture"),
        (drawing("<desc>\xff</desc>".encode("latin-1").decode("latin-1")).decode().encode("latin-1"), "not utf-8"),
        (b"<html><body>" + drawing("") + b"</body></html>", "web page"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(NotAPicture, match=reason):
        decode(content)
