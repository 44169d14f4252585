"""Checks whether a file system has working locks, which SQLite depends on.

A catalog is shared by the processes of one machine. Its write-ahead log is indexed in shared memory, so two machines
must not write to it over a network (https://www.sqlite.org/wal.html); locks that do not work lose commits even on one.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from lookalike.data.errors import StorageFailed

__all__ = ["check_file_system", "file_system_of"]

_LOCAL = re.compile(r"apfs|bcachefs|btrfs|ext[234]|f2fs|hfs|jfs|overlay|ramfs|reiserfs|rootfs|tmpfs|ufs|xfs|zfs")
_NETWORK = re.compile(
    r"(nfs|cifs|smb|afs|ceph|lustre|9p|gfs2|ocfs2|beegfs|gpfs|fuse\.(sshfs|gluster|rclone|s3fs|dav)).*"
)
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
_MOUNTS = Path("/proc/self/mountinfo")

_checked: set[int] = set()
"""Devices on which this process has found working locks, after a warning if they may be shared."""

log = logging.getLogger("lookalike")


def check_file_system(folder: Path) -> None:
    """Refuse a file system without locks, and log a warning for one that may be shared with other machines.

    Local file systems are recognised by name, which only takes reading the table of mounts.

    Raises:
        StorageFailed: the locks of the file system do not work.
    """
    device = os.stat(folder).st_dev  # noqa: PTH116
    if device in _checked:
        return
    kind = file_system_of(folder)
    if kind is not None and _LOCAL.fullmatch(kind):
        return
    if not _locks_work(folder):
        raise StorageFailed(
            f"{folder} lies on a file system ({kind or 'of unknown kind'}) whose locks do not work, so processes could "
            "overwrite each other's changes. Put the catalog on a local disk; NFS must be mounted without nolock."
        )
    if kind is not None and _NETWORK.fullmatch(kind):
        log.warning(
            "%s lies on a network file system (%s). Use the catalog from one machine only: SQLite cannot share it "
            "between several.",
            folder,
            kind,
        )
    _checked.add(device)


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of a folder's file system, such as ext4 or nfs4, or None if it is unknown."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, kind = "", None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mounted = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        if folder.is_relative_to(mounted) and len(mounted) >= len(place):  # a later mount hides an earlier one
            place, kind = mounted, after.split(" ")[0]
    return kind


def _locks_work(folder: Path) -> bool:
    """Return whether a lock on one descriptor of a new file keeps another descriptor from locking it."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return True  # not tested on this system
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".locks-") as first:
            request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            fcntl.fcntl(first.fileno(), fcntl.F_OFD_SETLK, request)
            with Path(first.name).open("r+b") as second, suppress(BlockingIOError, PermissionError):
                fcntl.lockf(second.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
                return False
        return True
    except OSError as error:
        return error.errno not in _NO_LOCKS
