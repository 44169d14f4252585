from __future__ import annotations

import atexit
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

# Before torch and Faiss are loaded, which read it: workers of pytest share the processors.
os.environ.setdefault(
    "OMP_NUM_THREADS", str((os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) or 1)
)

import lookalike.retrieval.core
from tests.fakes import ColourEncoder
from tests.public_calls import make_catalog

# A fresh interpreter that may not keep bytecode compiles the whole product: a third of the time it takes to start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Temporary files lie in memory where there is room: SQLite syncs at every commit, which takes no time there.
DISK = Path(os.environ.setdefault("LOOKALIKE_TEST_DISK", tempfile.gettempdir()))
"""The folder for the temporary files of tests that kill processes; it is on a real disk."""
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 << 30
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

if sys.platform == "linux":  # where Playwright looks for its browsers in the folder of caches, which is moved below
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(caches / "ms-playwright"))

_CACHES = Path(tempfile.mkdtemp(dir=DISK))  # weights that are on this machine by chance are none of the tests' business
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ |= {"HF_HOME": str(_CACHES / "hub"), "TORCH_HOME": str(_CACHES / "torch"), "XDG_CACHE_HOME": str(_CACHES)}
os.environ.pop("LOOKALIKE_MODELS", None)

NOT_QUICK = ("slow", "kill", "browser", "weights")
"""The marks that take a test out of the quick ones; `pyproject.toml` says what they mean."""

WHOLE_MODULE = re.compile(rf"^pytestmark = .*\bmark\.({'|'.join(NOT_QUICK)})\b", re.MULTILINE)

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample" / "catalog.csv"


OFFLINE_DEMO = """
import socket, sys
def refuse(*arguments, **options): raise RuntimeError('a socket was opened')
socket.socket.connect = refuse; socket.create_connection = refuse; socket.getaddrinfo = refuse
from lookalike.ui.cli.main import main
shop = sys.argv[1]
sys.argv = ['lookalike', 'demo', shop, '--no-serve']
try: main()
except SystemExit as end: assert not end.code
sys.argv = ['lookalike', 'search', shop, 'a cup of coffee', '--json']
main()
"""
"""Makes the sample shop and searches it, every socket being refused from before the first import on."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick`, leave out the modules that are marked as a whole: some import every library of models."""
    if config.option.markexpr != "quick" or collection_path.suffix != ".py":
        return None
    return True if WHOLE_MODULE.search(collection_path.read_text()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes the sample shop, which is made with real weights; `quick` is what has no mark otherwise."""
    for item in items:
        if "demo" in getattr(item, "fixturenames", ()):
            item.add_marker("weights")
        if not any(item.get_closest_marker(name) for name in NOT_QUICK):
            item.add_marker("quick")


def pytest_collection_finish() -> None:
    """Exempt what was imported from garbage collection, which would walk through all of it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The test's own folder; that of a test that kills processes lies on a disk, and so do its temporary files."""
    if request.node.get_closest_marker("kill") is None:
        yield tmp_path
    else:
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=DISK) as place:
            patch.setenv("TMPDIR", str(DISK))
            yield Path(place)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The sample shop as the demo makes it, once for all workers of pytest, not to be changed; and what was printed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    printed = folder.with_suffix(".txt")
    with FileLock(folder.with_suffix(".lock")):
        if not printed.exists():
            command = [sys.executable, "-c", OFFLINE_DEMO, str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed.write_text(done.stdout)
    return folder, printed.read_text()


@pytest.fixture(scope="session")
def shop(demo: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(demo[0], tmp_path_factory.mktemp("shop") / "shop"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of ready vectors, closed and not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "shop"
    make_catalog(folder).close()
    return folder


@pytest.fixture
def encoder() -> Iterator[ColourEncoder]:
    yield from colour_encoder()


def colour_encoder() -> Iterator[ColourEncoder]:
    """Replace the model of every catalog by one fake, and yield it."""
    fake = ColourEncoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookalike.retrieval.core, "load_encoder", lambda name, **_: fake)
        yield fake


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread."""
    import torch  # which few tests need

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def on_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the CUDA device, also for "auto", by tensors on the CPU."""
    import torch  # which few tests need

    from lookalike.retrieval.search import device, gpu_vectors

    monkeypatch.setattr(gpu_vectors, "cuda_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(device, "_has_driver", lambda: True)
