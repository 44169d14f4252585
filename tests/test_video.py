from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures import video
from lookalike.data.pictures.image_decoder import decode
from lookalike.data.pictures.video import Frame, frame_source, is_video, scenes, seconds_of, video_kind
from tests.conftest import SAMPLE
from tests.hostile import Trap
from tests.videos import NAMES, RATE, SIZE, sample_picture, write_video

ONE_FRAME_S = 1 / RATE
BLACK = Image.new("RGB", SIZE, "black")
SHOTS = [(sample_picture(name), seconds) for name, seconds in zip(NAMES, (3.0, 4.0, 2.0), strict=True)]
CUTS = (0.0, 3.0, 7.0)


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


def times(frames: list[Frame]) -> list[float]:
    return [frame.seconds for frame in frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", SHOTS)


# --- which frames ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mjpeg")],
)
def test_each_scene_gives_its_picture_and_its_time(name: str, codec: str, tmp_path: Path) -> None:
    frames = list(scenes(write_video(tmp_path / name, SHOTS, codec=codec)))
    assert times(frames) == pytest.approx(CUTS, abs=1e-3)
    for frame, (picture, _) in zip(frames, SHOTS, strict=True):
        assert frame.rgb.mode == "RGB"
        assert frame.rgb.size == SIZE
        assert apart(frame.rgb, picture) < 6
        assert min(apart(frame.rgb, other) for other, _ in SHOTS if other is not picture) > 15


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    frames = list(scenes(write_video(tmp_path / "clip.mkv", SHOTS, start_s=20.0)))
    assert times(frames) == pytest.approx(CUTS, abs=1e-3)


def test_no_frame_is_nearer_than_the_least_gap_nor_further_than_the_greatest(clip: Path, tmp_path: Path) -> None:
    assert times(list(scenes(clip, min_gap_s=5.0))) == pytest.approx([0.0, 5.0], abs=1e-3)
    still = write_video(tmp_path / "still.mp4", [(SHOTS[0][0], 9.0)])
    assert times(list(scenes(still))) == [0.0]
    assert times(list(scenes(still, max_gap_s=4.0))) == pytest.approx([0.0, 4.0, 8.0], abs=1e-3)


def test_many_scenes_are_thinned_over_the_whole_length(tmp_path: Path) -> None:
    flicker = [(SHOTS[place % 2][0], 1.2) for place in range(20)]
    path = write_video(tmp_path / "flicker.mp4", flicker, key_every=100)
    assert len(list(scenes(path))) == 20
    few = times(list(scenes(path, max_frames=4)))
    assert 3 <= len(few) <= 4
    assert few[-1] > 15
    assert min(np.diff(few)) >= 6.0


def test_a_dissolve_gives_the_picture_that_it_ends_on(tmp_path: Path) -> None:
    (one, _), (other, _) = SHOTS[:2]
    steps = [(Image.blend(one, other, step / 20), ONE_FRAME_S) for step in range(1, 20)]
    frames = list(scenes(write_video(tmp_path / "fade.mp4", [(one, 2.0), *steps, (other, 2.0)])))
    assert len(frames) == 2
    assert frames[1].seconds == pytest.approx(2.0 + 20 * ONE_FRAME_S, abs=3 * ONE_FRAME_S)
    assert apart(frames[1].rgb, other) < 8


def test_a_dark_beginning_is_passed_over_and_a_dark_video_gives_one_frame(tmp_path: Path) -> None:
    frames = list(scenes(write_video(tmp_path / "lead.mp4", [(BLACK, 2.0), SHOTS[0]])))
    assert times(frames) == pytest.approx([2.0], abs=1e-3)
    assert times(list(scenes(write_video(tmp_path / "dark.mp4", [(BLACK, 3.0)])))) == [0.0]


def test_of_a_long_video_only_key_frames_are_looked_at(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "KEY_FRAMES_FROM", 100)
    with av.open(clip) as container:
        stream = container.streams.video[0]
        keys = [
            float(one.pts * one.time_base) for one in container.demux(stream) if one.is_keyframe and one.pts is not None
        ]
    found = times(list(scenes(clip)))
    assert set(found) <= {round(key, 3) for key in keys}
    assert found == pytest.approx(CUTS, abs=0.5)


# --- upright, with square pixels -------------------------------------------------------------------------------------


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    one = 65536
    return b"".join(part.to_bytes(4, signed=True) for part in (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 2**30))


@pytest.mark.parametrize(
    ("turned", "upright"),
    [
        (matrix(0, 1, -1, 0), Image.Transpose.ROTATE_270),
        (matrix(-1, 0, 0, -1), Image.Transpose.ROTATE_180),
        (matrix(0, -1, 1, 0), Image.Transpose.ROTATE_90),
    ],
    ids=["a quarter clockwise", "half", "a quarter counterclockwise"],
)
def test_a_turned_video_is_shown_upright(turned: bytes, upright: Image.Transpose, clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    place = content.index(matrix(1, 0, 0, 1), content.index(b"tkhd"))
    path = tmp_path / "turned.mp4"
    path.write_bytes(content[:place] + turned + content[place + 36 :])
    (first, *_) = scenes(path)
    expected = SHOTS[0][0].transpose(upright)
    assert first.rgb.size == expected.size
    assert apart(first.rgb, expected) < 6


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    (first, *_) = scenes(write_video(tmp_path / "wide.mkv", SHOTS[:1], aspect=Fraction(4, 3)))
    assert first.rgb.size == (427, 240)
    assert apart(first.rgb, SHOTS[0][0].resize((427, 240))) < 6


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "value", "reason"),
    [
        ("MAX_VIDEO_BYTES", 1000, "too large"),
        ("MAX_FRAME_PIXELS", 320 * 240 - 1, "frames are too large"),
        ("MAX_DURATION_S", 8.9, "too long"),
    ],
)
def test_what_is_beyond_a_bound_is_refused(
    bound: str, value: float, reason: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, bound, value)
    with pytest.raises(NotAPicture, match=reason):
        list(scenes(clip))


def test_a_video_that_takes_too_long_is_refused(clip: Path) -> None:
    with pytest.raises(NotAPicture, match="longer than 0 seconds"):
        list(scenes(clip, decode_s=0.0))


def test_damage_raises_only_that_error_and_is_passed_over_where_it_can_be(tmp_path: Path) -> None:
    random = np.random.default_rng(29)
    path = write_video(tmp_path / "clip.mp4", [(picture, 1.0) for picture, _ in SHOTS])
    original = path.read_bytes()
    survived = 0
    for _ in range(20):
        content = bytearray(original)
        for place in random.integers(32, len(content), 10):
            content[place] = int(random.integers(256))
        path.write_bytes(content)
        try:
            survived += len(list(scenes(path))) > 0
        except NotAPicture:
            continue
    assert survived > 10
    path.write_bytes(original[: len(original) // 2])
    with pytest.raises(NotAPicture, match="damaged"):
        list(scenes(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(NotAPicture, match="only sound"):
        list(scenes(path))


def test_a_codec_that_is_not_listed_is_not_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "old.avi", [(SHOTS[0][0], 0.2)], codec="flv")
    with pytest.raises(NotAPicture, match="codec flv is not supported"):
        list(scenes(path))


# --- what is a video -------------------------------------------------------------------------------------------------


@pytest.fixture
def trap() -> Iterator[Trap]:
    with Trap(b"no video").open() as opened:
        yield opened


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="a" mimeType="video/mp4"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_that_is_called_a_video_opens_nothing(kind: str, trap: Trap, clip: Path, tmp_path: Path) -> None:
    for target in (f"{trap.address}/part.ts", str(clip)):
        for before in (b"", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI LIST"):
            path = tmp_path / "clip.mp4"
            path.write_bytes(before + PLAYLISTS[kind].replace("{}", target).encode())
            with pytest.raises(NotAPicture):
                list(scenes(path))
    assert trap.count == 0


def test_ffmpeg_by_itself_would_follow_that_playlist(trap: Trap, tmp_path: Path) -> None:
    path = tmp_path / "clip.m3u8"
    path.write_text(PLAYLISTS["hls"].replace("{}", f"{trap.address}/part.ts"))
    with pytest.raises(av.FFmpegError):
        av.open(path, options={"protocol_whitelist": "file,http,tcp"})
    assert trap.count > 0


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "mov"),
        (b"\0\0\0\x14ftypqt  \0\0\x02\0", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "matroska"),
        (b"RIFF\x24\0\0\0AVI LIST", "avi"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", None),
        (b"\0\0\0\x18ftypheic\0\0\0\0", None),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", None),
        (b"\0\0\0\x18ftypavif\0\0\0\0", None),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", None),
        (b"The wide world  ", None),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", None),
        (b"", None),
    ],
)
def test_a_video_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert video_kind(head) == kind


def test_pictures_of_the_sample_and_files_that_are_not_there_are_no_videos(clip: Path, tmp_path: Path) -> None:
    assert is_video(clip)
    assert not any(map(is_video, (SAMPLE.parent / "pictures").iterdir()))
    assert not is_video(tmp_path)
    assert not is_video(tmp_path / "absent.mp4")
    with pytest.raises(NotAPicture, match="not a video"):
        list(scenes(tmp_path / "absent.mp4"))


def test_a_video_in_place_of_a_picture_is_called_what_it_is(clip: Path) -> None:
    with pytest.raises(NotAPicture, match="a video, not a picture"):
        decode(clip.read_bytes())


@pytest.mark.parametrize(("seconds", "name"), [(0.0, "c.mp4#t=0"), (12.5, "c.mp4#t=12.5"), (7.04, "c.mp4#t=7.04")])
def test_a_frame_is_named_by_its_time(seconds: float, name: str) -> None:
    assert frame_source("c.mp4", seconds) == name
    assert seconds_of(name) == seconds
    assert seconds_of("c.mp4") is None


def test_without_the_extra_the_reason_has_the_line_that_mends_it(clip: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.modules['av'] = None\n"
        f"from lookalike.data.pictures.video import scenes; list(scenes(Path({str(clip)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert "NotAPicture: Videos need an extra" in done.stderr
    assert "pip install 'lookalike[video]'" in done.stderr
