from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lookalike.data.pictures import colour_profiles
from lookalike.data.pictures.colour_profiles import MAX_CONVERSIONS, MAX_PROFILE_BYTES, conversion_of
from lookalike.data.pictures.image_decoder import decode, thumbnail
from tests.icc_profiles import devices

DEVICES = devices()
STEPS = np.array([60, 110, 160, 210], dtype=np.uint8)
PATCHES = np.stack(np.meshgrid(STEPS, STEPS, STEPS), axis=-1).reshape(8, 8, 3)
CHART = np.kron(PATCHES, np.ones((24, 24, 1), dtype=np.uint8))
LOSSLESS = ("PNG", "TIFF")
FORMATS = (*LOSSLESS, "JPEG", "WEBP", "AVIF", "HEIF")
KINDS = {"L": ("PNG", "TIFF", "JPEG"), "CMYK": ("TIFF", "JPEG"), "RGB": FORMATS}


def saved(image: Image.Image, kind: str, profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, object] = {} if kind in LOSSLESS else {"quality": 96, "subsampling": "4:4:4"}
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, icc_profile=profile, quality=96, chroma=444)
    else:
        image.save(buffer, kind, icc_profile=profile, **options)
    return buffer.getvalue()


def made(name: str, kind: str) -> bytes:
    device = DEVICES[name]
    return saved(Image.fromarray(device.pixels(CHART), device.mode), kind, device.profile)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def by_littlecms(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)


CASES = [(name, kind) for name, device in DEVICES.items() for kind in KINDS[device.mode]]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_chart_has_the_colours_that_littlecms_gives_it(name: str, kind: str) -> None:
    pillow_heif.register_heif_opener()
    content = made(name, kind)
    picture = decode(content)
    assert difference(np.asarray(picture.rgb), by_littlecms(content)) <= 1
    assert picture.notes == ()
    assert "icc_profile" not in picture.rgb.info


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in CASES if kind in LOSSLESS])
def test_a_chart_in_the_numbers_of_a_device_has_its_colours_again(name: str, kind: str) -> None:
    expected = CHART
    if name == "grey":
        luminance = ((CHART / 255.0 + 0.055) / 1.055) ** 2.4 @ [0.2126, 0.7152, 0.0722]
        expected = np.rint(255 * (1.055 * luminance ** (1 / 2.4) - 0.055)).astype(np.uint8)[..., np.newaxis]
    assert difference(np.asarray(decode(made(name, kind)).rgb), expected) <= 2


def test_the_charts_differ_from_srgb_without_their_profiles() -> None:
    for name, device in DEVICES.items():
        if device.mode == "RGB" and name != "sRGB":
            assert difference(device.pixels(CHART), CHART) > 4


@pytest.mark.parametrize("name", ["Display P3", "linear", "exchanged"])
def test_a_thumbnail_is_in_srgb(name: str) -> None:
    with Image.open(io.BytesIO(thumbnail(decode(made(name, "PNG")).rgb))) as small:
        assert "icc_profile" not in small.info
        assert difference(np.asarray(small.convert("RGB")), CHART) < 6


@pytest.mark.parametrize("mode", ["RGBA", "P", "PA", "LA"])
def test_every_mode_with_a_profile_has_its_colours(mode: str) -> None:
    device = DEVICES["grey" if mode == "LA" else "Adobe RGB"]
    pixels = Image.fromarray(device.pixels(CHART), device.mode)
    expected = by_littlecms(saved(pixels, "PNG", device.profile))
    if mode == "P":
        palette = pixels.quantize(64)
        content = saved(palette, "PNG", device.profile)
        expected = by_littlecms(saved(palette.convert("RGB"), "PNG", device.profile))
    else:
        pixels.putalpha(Image.new("L", pixels.size, 51))
        content = saved(pixels if mode != "PA" else pixels.quantize(64), "PNG", device.profile)
        expected = np.rint(expected * 0.2 + 255 * 0.8).astype(np.uint8)
    assert difference(np.asarray(decode(content).rgb), expected) <= 1


def test_a_grey_picture_with_a_profile_for_rgb_is_read_as_equal_red_green_and_blue() -> None:
    grey = Image.fromarray(CHART[..., 0])
    rgb = np.repeat(CHART[..., :1], 3, axis=2)
    linear = DEVICES["linear"].profile
    expected = by_littlecms(saved(Image.fromarray(rgb), "PNG", linear))
    assert difference(np.asarray(decode(saved(grey, "PNG", linear)).rgb), expected) == 0


def test_sixteen_bit_grey_is_scaled_to_eight_bits_before_its_profile_is_applied() -> None:
    deep = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (8, 1))
    profile = DEVICES["grey"].profile
    expected = by_littlecms(saved(Image.fromarray(np.rint(deep / 257).astype(np.uint8)), "PNG", profile))
    assert np.array_equal(np.asarray(decode(saved(Image.fromarray(deep), "PNG", profile)).rgb), expected)


def test_a_profile_that_is_srgb_by_its_primaries_and_curve_changes_no_pixel() -> None:
    for profile in (DEVICES["sRGB"].profile, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        assert not conversion_of(profile, "RGB")
        assert np.array_equal(np.asarray(decode(saved(Image.fromarray(CHART), "PNG", profile)).rgb), CHART)
    for name in ("Display P3", "Adobe RGB", "linear", "exchanged"):
        renamed = DEVICES[name].profile.replace(b"made for a test", b"sRGB IEC61966-2")
        assert conversion_of(renamed, "RGB")


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (b"", None),
        (b"not a profile", "is damaged"),
        (DEVICES["Display P3"].profile[:200], "is damaged"),
        (DEVICES["Display P3"].profile[:128] + b"\xff" * 400, "is damaged"),
        (DEVICES["print"].profile, "is for CMYK pixels, and the picture has RGB pixels"),
        (DEVICES["grey"].profile, "is for grey pixels, and the picture has RGB pixels"),
        (DEVICES["linear"].profile.replace(b"mntrRGB ", b"linkRGB "), "is not one for pictures"),
        (DEVICES["linear"].profile.replace(b"mntrRGB ", b"mntrFCLR"), "is not one for pictures"),
        (DEVICES["linear"].profile + bytes(MAX_PROFILE_BYTES), "is too large"),
    ],
)
def test_a_profile_that_cannot_be_used_is_ignored_with_a_note(profile: bytes, reason: str | None) -> None:
    picture = decode(saved(Image.fromarray(CHART), "TIFF", profile))
    assert np.array_equal(np.asarray(picture.rgb), CHART)
    assert len(picture.notes) == (reason is not None)
    for note in picture.notes:
        assert note.startswith(f"The picture's colour profile {reason}") and note.endswith("; it was ignored.")


def test_a_profile_too_large_for_a_png_is_ignored_with_a_note() -> None:
    content = saved(Image.fromarray(CHART), "PNG", None)
    packed = b"icc\0\0" + zlib.compress(DEVICES["linear"].profile + bytes(9_000_000))
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", zlib.crc32(b"iCCP" + packed))
    picture = decode(content[:33] + chunk + content[33:])
    assert np.array_equal(np.asarray(picture.rgb), CHART)
    assert "colour profile" in picture.notes[0] and "ignored" in picture.notes[0]


def test_a_profile_in_a_jpeg_2000_is_applied() -> None:
    device = DEVICES["exchanged"]
    content = saved(Image.fromarray(device.pixels(CHART)), "JPEG2000", None)
    start = content.index(b"colr") - 4
    (length,) = struct.unpack_from(">I", content, start)
    box = struct.pack(">I", 11 + len(device.profile)) + b"colr\x02\0\0" + device.profile
    grown = content[:start] + box + content[start + length :]
    header = content.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", content, header)
    grown = grown[:header] + struct.pack(">I", size + len(box) - length) + grown[header + 4 :]
    assert difference(np.asarray(decode(content).rgb), CHART) > 20
    assert difference(np.asarray(decode(grown).rgb), CHART) < 2


@pytest.mark.parametrize(("rule", "name"), [("R03", "Adobe RGB"), ("R98", "sRGB")])
def test_a_photograph_of_a_camera_in_adobe_rgb_has_its_colours_without_a_profile(rule: str, name: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: rule}
    buffer = io.BytesIO()
    pixels = Image.fromarray(DEVICES[name].pixels(CHART))
    pixels.save(buffer, "JPEG", quality=96, subsampling=0, exif=exif)
    assert rule.encode() in buffer.getvalue()
    assert difference(np.asarray(decode(buffer.getvalue()).rgb), CHART) < 2


def test_random_damage_to_a_profile_never_refuses_the_picture() -> None:
    random = np.random.default_rng(5)
    names = [name for name, device in DEVICES.items() if device.mode == "RGB"]
    for number in range(300):
        profile = bytearray(DEVICES[names[number % len(names)]].profile)
        for place in random.integers(0, min(len(profile), 700), 6):
            profile[place] = int(random.integers(256))
        assert decode(saved(Image.fromarray(PATCHES), "TIFF", bytes(profile))).rgb.size == (8, 8)


def test_conversions_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour_profiles, "_kept", colour_profiles._Kept())
    linear = DEVICES["linear"].profile
    first = conversion_of(linear, "RGB")
    assert conversion_of(linear, "RGB") is first
    for number in range(MAX_CONVERSIONS):
        conversion_of(b"%d" % number, "RGB")
    assert len(colour_profiles._kept._kept) == MAX_CONVERSIONS
    assert conversion_of(linear, "RGB") is not first


def test_threads_share_one_conversion() -> None:
    contents = [made(name, "PNG") for name in ("Display P3", "Adobe RGB", "lookup table")] * 20
    expected = [np.asarray(decode(content).rgb) for content in contents[:3]] * 20
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda content: np.asarray(decode(content).rgb), contents)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_picture_with_a_profile_is_reduced_before_it_is_converted() -> None:
    device = DEVICES["Display P3"]
    large = Image.fromarray(device.pixels(CHART)).resize((1600, 1600), Image.Resampling.NEAREST)
    picture = decode(saved(large, "PNG", device.profile), min_side=224)
    assert (picture.width, picture.height) == (1600, 1600)
    assert picture.rgb.size == (400, 400)
    assert difference(np.asarray(picture.rgb.resize((192, 192), Image.Resampling.NEAREST)), CHART) < 4


def coded(pixels: NDArray[np.uint8], kind: str, primaries: int, transfer: int) -> bytes:
    """Save a picture whose colours are named by code numbers."""
    content = saved(Image.fromarray(pixels), kind, None)
    place = content.index(b"colrnclx") + 8
    return content[:place] + struct.pack(">HH", primaries, transfer) + content[place + 4 :]


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("primaries", "transfer", "name"),
    [(12, 13, "Display P3"), (1, 13, "sRGB"), (1, 1, "sRGB"), (1, 8, "linear"), (2, 2, "sRGB")],
)
def test_colours_named_by_code_numbers_are_those_of_the_profile(
    kind: str, primaries: int, transfer: int, name: str
) -> None:
    content = coded(DEVICES[name].pixels(CHART), kind, primaries, transfer)
    assert difference(np.asarray(decode(content).rgb), CHART) < (4 if name == "linear" else 2.5)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("transfer", "code"), [(16, 0.5080784), (18, 0.6296)])  # of 100 cd/m² in both standards
def test_grey_of_a_hundred_nits_is_as_bright_as_on_an_ordinary_screen(kind: str, transfer: int, code: float) -> None:
    grey = np.full((64, 64, 3), round(code * 255), dtype=np.uint8)
    expected = 255 * (1.055 * (100 / 203) ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(decode(coded(grey, kind, 9, transfer)).rgb) - expected).max() < 6


@pytest.mark.parametrize("transfer", [16, 18])
def test_what_is_brighter_than_white_keeps_its_order(transfer: int) -> None:
    ramp = np.repeat(np.tile(np.linspace(100, 255, 16).astype(np.uint8), (32, 1)), 16, axis=1)
    shown = np.asarray(decode(coded(np.repeat(ramp[..., np.newaxis], 3, axis=2), "AVIF", 9, transfer)).rgb)[
        16, 8::16, 0
    ]
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert shown[0] < 120 and shown[-1] >= 250


def test_codes_that_are_unknown_change_nothing() -> None:
    for codes in ((77, 13), (9, 99), (0, 0)):
        assert difference(np.asarray(decode(coded(CHART, "AVIF", *codes)).rgb), CHART) < 2


def test_the_picture_before_a_gain_map_is_the_picture() -> None:
    gain = Image.new("L", (96, 96), 200)
    buffer = io.BytesIO()
    Image.fromarray(CHART).save(buffer, "MPO", save_all=True, append_images=[gain], quality=96, subsampling=0)
    assert difference(np.asarray(decode(buffer.getvalue()).rgb), CHART) < 2


def test_a_photograph_with_other_metadata_is_not_searched_for_a_rule_that_it_lacks() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"R03"  # a comment of the photographer
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG", exif=exif, quality=95)
    assert b"R03" in buffer.getvalue()
    assert decode(buffer.getvalue()).rgb.getpixel((4, 4))[0] > 250  # type: ignore[index]
