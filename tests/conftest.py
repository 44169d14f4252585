from __future__ import annotations

import atexit
import os
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

_CACHES = Path(tempfile.mkdtemp())  # weights that are on this machine by chance are none of the tests' business
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ |= {"HF_HOME": str(_CACHES / "hub"), "TORCH_HOME": str(_CACHES / "torch"), "XDG_CACHE_HOME": str(_CACHES)}
os.environ.pop("LOOKALIKE_MODELS", None)

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
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ColourEncoder]:
    fake = ColourEncoder()
    monkeypatch.setattr(lookalike.retrieval.core, "load_encoder", lambda name, **_: fake)
    yield fake


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch run on one processor."""
    import torch  # which few tests need

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def on_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "cuda", and "auto", be tensors that lie on the CPU."""
    import torch  # which few tests need

    from lookalike.retrieval.search import device, gpu_vectors

    monkeypatch.setattr(gpu_vectors, "cuda_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(device, "_has_driver", lambda: True)
