from __future__ import annotations

import io
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from lookalike.data.pictures.description import facts_of
from lookalike.data.pictures.exif_facts import camera_name
from lookalike.data.pictures.picture_facts import MAX_METADATA_BYTES, PictureFacts, merged
from lookalike.data.pictures.sidecars import sidecars_among
from tests.conftest import ROOT

SUMMER = timezone(timedelta(hours=2))
PHOTOGRAPH = Image.open(ROOT / "data" / "sample" / "pictures" / "airliner.webp").convert("RGB")
NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"'
)


def exif(**tags: object) -> Image.Exif:
    made = Image.Exif()
    made[ExifTags.Base.Make] = "NIKON CORPORATION"
    made[ExifTags.Base.Model] = "NIKON D750"
    made[ExifTags.Base.ImageDescription] = "OLYMPUS DIGITAL CAMERA"
    inner = made.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = "2019:07:04 15:30:12"
    inner[ExifTags.Base.OffsetTimeOriginal] = "+02:00"
    inner[ExifTags.Base.LensModel] = "AF-S 35mm f/1.8G"
    rational = TiffImagePlugin.IFDRational
    gps = made.get_ifd(ExifTags.IFD.GPSInfo)
    gps[1], gps[2] = "S", (rational(33), rational(51), rational(3600, 100))
    gps[3], gps[4] = "E", (rational(151), rational(12), rational(0))
    for name, value in tags.items():
        made[ExifTags.Base[name]] = value
    return made


def directory(made: Image.Exif) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in made.items():
        tags[tag] = value
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        tags[tag] = dict(made.get_ifd(tag))
    return tags


def xmp(properties: str, attributes: str = "") -> bytes:
    inside = f'<rdf:RDF><rdf:Description rdf:about="" {attributes}>{properties}</rdf:Description></rdf:RDF>'
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" {NAMESPACES}>{inside}</x:xmpmeta>'
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{packet}<?xpacket end="w"?>'.encode()


def listed(name: str, kind: str, *values: str) -> str:
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"


def iptc(*sets: tuple[int, int, bytes]) -> bytes:
    return b"".join(bytes((0x1C, record, number)) + len(text).to_bytes(2) + text for record, number, text in sets)


def with_iptc(jpeg: bytes, block: bytes) -> bytes:
    resource = b"8BIM\x04\x04\0\0" + len(block).to_bytes(4) + block + b"\0" * (len(block) % 2)
    segment = b"Photoshop 3.0\0" + resource
    return jpeg[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2) + segment + jpeg[2:]


def file(kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    PHOTOGRAPH.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_says_when_where_and_with_what_a_picture_was_taken(kind: str) -> None:
    facts = facts_of(file(kind, tiffinfo=directory(exif())) if kind == "TIFF" else file(kind, exif=exif()))
    assert facts == PictureFacts(
        captured=datetime(2019, 7, 4, 15, 30, 12, tzinfo=SUMMER),
        camera="NIKON D750",
        lens="AF-S 35mm f/1.8G",
        latitude=-33.86,
        longitude=151.2,
    )


def test_a_time_without_a_zone_is_kept_as_it_is_and_one_that_cannot_be_is_left_out() -> None:
    made = exif()
    inner = made.get_ifd(ExifTags.IFD.Exif)
    del inner[ExifTags.Base.OffsetTimeOriginal]
    assert facts_of(file(exif=made)).captured == datetime(2019, 7, 4, 15, 30, 12)
    for wrong in ("0000:00:00 00:00:00", "2019:02:30 10:00:00", "    :  :     :  :  ", "yesterday"):
        inner[ExifTags.Base.DateTimeOriginal] = wrong
        assert facts_of(file(exif=made)).captured is None


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 5D Mark IV", "Canon EOS 5D Mark IV"),
        ("SONY", "ILCE-7M3", "SONY ILCE-7M3"),
        ("OLYMPUS CORPORATION", "E-M1", "Olympus E-M1"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        (None, "X100", "X100"),
        ("Canon", None, None),
    ],
)
def test_a_camera_is_named_once(make: str | None, model: str | None, name: str | None) -> None:
    assert camera_name(make, model) == name


XMP = xmp(
    listed("dc:title", "Alt", "Café at night")
    + listed("dc:description", "Alt", "Two people &amp; a dog")
    + listed("dc:subject", "Bag", "night", "café", "night")
    + listed("Iptc4xmpExt:PersonInImage", "Bag", "Ada")
    + "<mwg-rs:Regions><mwg-rs:RegionList><rdf:Bag>"
    '<rdf:li><rdf:Description mwg-rs:Name="Grace" mwg-rs:Type="Face"/></rdf:li>'
    '<rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:li>'
    "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>",
    'xmp:Rating="4" exif:DateTimeOriginal="2020-01-02T03:04:05.678Z" exif:GPSLatitude="48,51.5N" '
    'exif:GPSLongitude="2,17,24W" tiff:Make="FUJIFILM" tiff:Model="X-T4" aux:Lens="XF23mm"',
)
XMP_FACTS = PictureFacts(
    title="Café at night",
    caption="Two people & a dog",
    captured=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    camera="Fujifilm X-T4",
    lens="XF23mm",
    latitude=48.8583333,
    longitude=-2.29,
    rating=4,
    keywords=("night", "café"),
    people=("Ada", "Grace"),
)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_xmp_in_a_picture_is_read(kind: str) -> None:
    assert facts_of(file(kind, xmp=XMP)) == XMP_FACTS


def test_xmp_of_a_tiff_is_read() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700], tags.tagtype[700] = XMP, 1
    assert facts_of(file("TIFF", tiffinfo=tags)) == XMP_FACTS


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_iptc_of_a_jpeg_is_read(encoding: str) -> None:
    block = iptc(
        (2, 5, "Fête".encode(encoding)),
        (2, 25, b"fireworks"),
        (2, 25, "été".encode(encoding)),
        (2, 120, b"On the \r\n bridge"),
        (2, 55, b"20190714"),
        (2, 60, b"223000+0200"),
    )
    assert facts_of(with_iptc(file(), block)) == PictureFacts(
        title="Fête",
        caption="On the bridge",
        captured=datetime(2019, 7, 14, 22, 30, tzinfo=SUMMER),
        keywords=("fireworks", "été"),
    )


def test_sidecars_come_before_the_file_and_takeout_after_it(tmp_path: Path) -> None:
    takeout = {
        "title": "IMG_1.jpg",
        "description": "From the phone",
        "photoTakenTime": {"timestamp": "1562247012", "formatted": "..."},
        "geoData": {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0},
        "geoDataExif": {"latitude": 41.9, "longitude": 12.5},
        "people": [{"name": "Ada"}, {"name": "Linus"}, "nobody"],
    }
    (tmp_path / "a.json").write_bytes(orjson.dumps(takeout))
    alone = facts_of(b"", (tmp_path / "a.json",))
    assert alone == PictureFacts(
        caption="From the phone",
        captured=datetime(2019, 7, 4, 13, 30, 12, tzinfo=UTC),
        latitude=41.9,
        longitude=12.5,
        people=("Ada", "Linus"),
    )
    (tmp_path / "a.xmp").write_bytes(XMP)
    facts = facts_of(file(exif=exif()), (tmp_path / "a.json", tmp_path / "a.xmp", tmp_path / "gone.xmp"))
    assert facts.camera == "Fujifilm X-T4"
    assert facts.people == ("Ada", "Grace", "Linus")
    assert facts_of(file(exif=exif()), (tmp_path / "a.json",)).latitude == -33.86


def test_apple_photos_writes_coordinates_as_decimals() -> None:
    packet = xmp(
        "<exif:GPSLatitude>33.86</exif:GPSLatitude><exif:GPSLatitudeRef>S</exif:GPSLatitudeRef>"
        "<exif:GPSLongitude>151.2</exif:GPSLongitude><exif:GPSLongitudeRef>E</exif:GPSLongitudeRef>"
        "<photoshop:DateCreated>2019-07-04T15:30:12+02:00</photoshop:DateCreated>"
    )
    facts = facts_of(file(xmp=packet))
    assert (facts.latitude, facts.longitude) == (-33.86, 151.2)
    assert facts.captured == datetime(2019, 7, 4, 15, 30, 12, tzinfo=SUMMER)


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + XMP,
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + XMP.decode()).encode("utf-16"),
        XMP[:-200],
        b"<a>" * 100_000,
        b"<a>" * 50 + b"</a>" * 50,
        XMP + b" " * MAX_METADATA_BYTES + b"<x/>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"",
    ],
    ids=["entities", "entities in UTF-16", "cut", "deep and open", "deep", "large", "encoding", "empty"],
)
def test_xmp_that_is_refused_has_no_facts(packet: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_bytes(packet)
    assert facts_of(b"", (tmp_path / "a.xmp",)) == PictureFacts()


def test_damaged_metadata_never_raises() -> None:
    random_ = random.Random(0)
    whole = [with_iptc(file("JPEG", exif=exif(), xmp=XMP), iptc((2, 25, b"x"), (1, 90, b"\x1b%G")))]
    whole += [file(kind, exif=exif()) for kind in ("PNG", "WEBP", "TIFF")]
    for content in whole:
        for _ in range(300):
            damaged = bytearray(content[: random_.randrange(1, len(content))] if random_.random() < 0.3 else content)
            for _ in range(random_.randrange(1, 20)):
                damaged[random_.randrange(min(len(damaged), 4_000))] = random_.randrange(256)
            assert isinstance(facts_of(bytes(damaged)), PictureFacts)


def test_lists_and_texts_are_bounded() -> None:
    facts = facts_of(b"", ())
    assert facts == PictureFacts()
    many = xmp(
        listed("dc:subject", "Bag", *(f"k{number}" for number in range(1_000))) + listed("dc:title", "Alt", "x" * 9_000)
    )
    found = facts_of(file(xmp=many))
    assert len(found.keywords) == 200
    assert found.title is not None
    assert len(found.title) == 2_000


def test_latitude_and_longitude_are_of_one_source() -> None:
    found = merged((PictureFacts(title="a"), PictureFacts(latitude=1.0, longitude=2.0), PictureFacts(latitude=3.0)))
    assert (found.title, found.latitude, found.longitude) == ("a", 1.0, 2.0)


def test_sidecars_are_matched_to_their_pictures() -> None:
    long = "Screenshot_20190704-153012_Some Application Name.jpg"
    files = [
        "a.jpg", "A.CR2", "a.xmp", "b.jpg", "b.jpg.xmp", "B.JPG.json", "c.jpg", "c(1).jpg", "c.jpg.json",
        "c.jpg(1).json", "d.jpg", "d-edited.jpg", "d.jpg.supplemental-metadata.json", "e.png", "e.png.suppl.json",
        "e(2).png", "e.png.supplemental-metadata(2).json", long, long[:46] + ".json", "metadata.json", "f.aae",
        "other.json", "z.xmp",
    ]  # fmt: skip
    found = sidecars_among(files)
    assert found.of == {
        "a.jpg": ["a.xmp"],
        "A.CR2": ["a.xmp"],
        "b.jpg": ["B.JPG.json", "b.jpg.xmp"],
        "c.jpg": ["c.jpg.json"],
        "c(1).jpg": ["c.jpg(1).json"],
        "d.jpg": ["d.jpg.supplemental-metadata.json"],
        "d-edited.jpg": ["d.jpg.supplemental-metadata.json"],
        "e.png": ["e.png.suppl.json"],
        "e(2).png": ["e.png.supplemental-metadata(2).json"],
        long: [long[:46] + ".json"],
    }
    assert set(files) - found.names - set(found.of) == {"other.json"}
    assert sidecars_among(["metadata.json", "a.jpg"]).names == frozenset()
