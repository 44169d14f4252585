"""File systems that catalogs lie on: known by the table of mounts, refused where locks do not work."""

from __future__ import annotations

import errno
import fcntl
import logging
import subprocess
from pathlib import Path

import pytest

from lookalike import Catalog
from lookalike.data.errors import StorageFailed
from lookalike.retrieval.files import file_system
from lookalike.retrieval.files.file_system import check_file_system, file_system_of

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /mnt/team rw - nfs4 server:/export rw
24 22 0:21 / /mnt/team/fast rw - xfs /dev/vdb rw
25 22 0:22 / /mnt/two\040words rw master:2 - cifs //server/share rw
26 22 0:23 / /mnt/twice rw - ext4 /dev/vdc rw
27 22 0:24 / /mnt/twice rw - fuse.sshfs me@server: rw
damaged line
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/home/shop", "ext4"),
        ("/mnt/team/shop", "nfs4"),
        ("/mnt/teams/shop", "ext4"),
        ("/mnt/team/fast/shop", "xfs"),
        ("/mnt/two words/shop", "cifs"),
        ("/mnt/twice/shop", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system_of(Path(folder), mounts) == kind


def test_the_file_system_of_this_folder_is_what_the_system_says(tmp_path: Path) -> None:
    found = subprocess.run(["df", "--output=fstype", tmp_path], capture_output=True, text=True, check=True)
    assert file_system_of(tmp_path) == found.stdout.split()[-1]
    assert file_system_of(tmp_path, tmp_path / "no table") is None


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(file_system, "_checked", set())
    monkeypatch.setattr(file_system, "file_system_of", lambda folder: "nfs4")
    return tmp_path / "shop"


def test_a_network_file_system_with_locks_is_warned_of(on_nfs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lookalike"), Catalog.create(on_nfs, dim=2) as catalog:
        catalog.add_vectors(["a"], [[1.0, 0.0]])
        assert "network file system (nfs4)" in caplog.text and "one machine only" in caplog.text
        caplog.clear()
        Catalog.open(on_nfs).close()
        assert not caplog.text  # once is enough
    assert not list(on_nfs.parent.glob("**/.locks-*"))


def test_locks_that_hold_nobody_off_are_refused(on_nfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog.create(on_nfs, dim=2).close()
    monkeypatch.setattr(file_system, "_checked", set())
    monkeypatch.setattr(fcntl, "lockf", lambda *arguments: None)
    with pytest.raises(StorageFailed, match="locks do not work"):
        Catalog.open(on_nfs)
    with pytest.raises(StorageFailed, match="locks do not work"):
        Catalog.create(on_nfs.with_name("other"), dim=2)
    assert [path.name for path in on_nfs.parent.iterdir()] == ["shop"]


def test_a_file_system_that_has_no_locks_is_refused(on_nfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "fcntl", none)
    on_nfs.mkdir()
    with pytest.raises(StorageFailed, match="locks do not work"):
        check_file_system(on_nfs)


def test_a_local_file_system_is_not_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "_checked", set())
    monkeypatch.setattr(file_system, "file_system_of", lambda folder: "ext4")
    monkeypatch.setattr(fcntl, "lockf", lambda *arguments: None)
    check_file_system(tmp_path)
