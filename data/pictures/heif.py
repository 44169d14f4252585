"""HEIC, the photo format of phones, read through a Pillow plugin.

It is an optional extra because the plugin's package includes a 23 MB encoder under the GPL.
"""

from __future__ import annotations

from lookalike.data.errors import NotAPicture

__all__ = ["is_heif", "register_heif"]

OLDEST_LIBHEIF = (1, 23, 4)
"""First version without known vulnerabilities to crafted pictures."""

_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_CONTAINER_BRANDS = frozenset((b"mif1", b"msf1", b"mif2", b"heif"))
_AV1_BRANDS = frozenset((b"avif", b"avis"))
_MAX_BRANDS = 64


def is_heif(content: bytes) -> bool:
    """Return whether a file is HEIF with HEVC content, by its first box. AVIF, of the same family, is not."""
    if content[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(content[:4]), 16 + 4 * _MAX_BRANDS)
    brands = {content[8:12], *(content[place : place + 4] for place in range(16, length, 4))}
    return bool(brands & _BRANDS) or bool(brands & _CONTAINER_BRANDS and not brands & _AV1_BRANDS)


def register_heif() -> None:
    """Register the HEIF format with Pillow. Calling it again has no effect.

    Raises:
        NotAPicture: the plugin is not installed, or its decoder is vulnerable to crafted files.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise NotAPicture(
            "HEIC pictures need an extra that is not installed.",
            unread="HEIC pictures",
            remedy="Install it with: pip install 'lookalike[heic]'",
        ) from error
    found = pillow_heif.libheif_version()
    if tuple(int(part) for part in found.split(".")[:3]) < OLDEST_LIBHEIF:
        raise NotAPicture(
            f"HEIC pictures are not read with libheif {found}, which is vulnerable to crafted files.",
            unread="HEIC pictures",
            remedy="Update it with: pip install -U 'lookalike[heic]'",
        )
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
