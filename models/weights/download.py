"""Download of weights from the Hugging Face hub or a mirror, verified by the hub's own hashes. Nothing else downloads.

HF_ENDPOINT names a mirror, as for everything that uses huggingface_hub. Files go to the hub's cache, which other
programs share, or, if LOOKALIKE_MODELS is set, to `organisation/name/` in that folder, for transfer to machines without
a network. `verify` compares the files with the hashes the hub announced, without asking it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.data.errors import UsageError, WeightsUnavailable
from lookalike.models.extras import require
from lookalike.models.registry.checkpoint import (
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_FILES,
    TIMM_FILES,
    Checkpoint,
    find_checkpoint,
    read_json,
    text_sources,
    torchvision_weights,
)
from lookalike.models.registry.names import Family, ModelName
from lookalike.models.registry.open_clip_table import architecture_config, repository_of
from lookalike.models.weights.hashes import hash_of
from lookalike.models.weights.places import models_folder, torch_folder

__all__ = ["Checked", "Progress", "fetch", "verify"]

Progress = Callable[[str, int, int | None], None]
"""Called during a download with the file's name, the bytes so far, and the total bytes (None if unknown)."""

_TEXT_FILES = re.compile(r"tokenizer|special_tokens_map|added_tokens|vocab|merges|config\.json|spiece|sentencepiece")
_TEXT_SUFFIXES = frozenset({".json", ".txt", ".model"})
_SHA256, _GIT_SHA1 = 64, 40
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A file of weights: its SHA-256 hash, and whether that is the expected one (None if no hash was announced)."""

    path: Path
    sha256: str
    as_expected: bool | None


def fetch(name: ModelName, progress: Progress) -> Checkpoint:
    """Download the files of a model that are not here yet, verify them, and return where they are.

    Raises:
        UsageError: there is no such model, or it has nothing to download.
        WeightsUnavailable: the hub cannot be reached or lacks the model, or a file differs from the announced hash.
        MissingDependency: the package that reads the model is not installed.
    """
    if name.is_local or name.family is Family.COMPACT:
        raise UsageError(f"There is nothing to fetch for {name}: its weights are on this machine already.")
    if name.family is Family.TORCHVISION:
        _from_torchvision(name, progress)
        return find_checkpoint(name)
    require("open_clip", extra="clip")
    if name.family is Family.TIMM:
        from lookalike.models.encoders.backbones import timm_repository

        repository, file = timm_repository(name.architecture)
        _download_first(repository, (file,) if file else TIMM_FILES, progress)
        return find_checkpoint(name)
    if name.family is Family.HUB:
        repository, names = name.architecture, OPEN_CLIP_FILES
        config_path = _download_first(repository, (OPEN_CLIP_CONFIG,), progress)
        config: dict[str, Any] = read_json(config_path).get("model_cfg", {})
    else:
        repository, file = repository_of(name.architecture, name.weights)
        names = OPEN_CLIP_FILES if file is None else (str(Path(file).with_suffix(".safetensors")), file)
        config = architecture_config(name.architecture)
    for source in dict.fromkeys(repository for repository in text_sources(config) if repository):
        _download_text_files(source, progress)
    _download_first(repository, names, progress)
    return find_checkpoint(name)


def verify(checkpoint: Checkpoint) -> list[Checked]:
    """Read all files of a model, and compare them with the hashes that the hub announced when they were downloaded."""
    files = [checkpoint.weights]
    if checkpoint.tokenizer is not None:
        files += [path for path in sorted(checkpoint.tokenizer.glob("tokenizer*.json")) if path.is_file()]
    return [_checked(path) for path in files]


def _checked(path: Path) -> Checked:
    expected = _announced_hash(path)
    found = hash_of(path)
    if expected is None:
        return Checked(path, found, None)
    same = _git_hash(path) == expected if len(expected) == _GIT_SHA1 else found.startswith(expected)
    return Checked(path, found, same)


def _announced_hash(path: Path) -> str | None:
    """Return the announced hash of a file: SHA-256, its beginning, or git's SHA-1 for small files; None if unknown."""
    blob = path.resolve().name  # in the hub's cache, a file is a link to a blob named after its hash
    if path.is_symlink() and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob):
        return blob
    note = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    if note.is_file():
        lines = note.read_text(encoding="utf-8").splitlines()
        return lines[1].strip('"') if len(lines) > 1 and len(lines[1]) in (_GIT_SHA1, _SHA256) else None
    torch_name = re.fullmatch(r".*-([0-9a-f]{8})\.pth", path.name)
    return torch_name[1] if torch_name else None


def _git_hash(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# --- the hub ---------------------------------------------------------------------------------------------------------


def _download_first(repository: str, names: Sequence[str], progress: Progress) -> Path:
    """Download the first of `names` that the repository has."""
    available = _list_files(repository)
    for name in names:
        if name in available:
            return _download(repository, name, progress)
    raise WeightsUnavailable(f"The hub's repository {repository} has none of the files {', '.join(names)}.")


def _download_text_files(repository: str, progress: Progress) -> None:
    """Download a repository's tokenizer and the configuration of its text network."""
    names = [
        name for name in _list_files(repository) if _TEXT_FILES.match(name) and Path(name).suffix in _TEXT_SUFFIXES
    ]
    if "tokenizer.json" not in names:
        raise WeightsUnavailable(f"The hub's repository {repository} has no tokenizer.json.")
    for name in names:
        _download(repository, name, progress)


def _list_files(repository: str) -> list[str]:
    from huggingface_hub import HfApi

    info = _ask_hub(repository, lambda: HfApi().model_info(repository, timeout=_TIMEOUT_S))
    return [file.rfilename for file in info.siblings or ()]


def _download(repository: str, name: str, progress: Progress) -> Path:
    """Download and verify a file; a complete file that is here already is left as it is."""
    from huggingface_hub import hf_hub_download

    own = models_folder()
    folder = None if own is None else own / repository
    bar = _progress_class(name, progress)
    downloaded = _ask_hub(repository, lambda: hf_hub_download(repository, name, local_dir=folder, tqdm_class=bar))
    path = Path(downloaded)
    if _checked(path).as_expected is False:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise WeightsUnavailable(
            f"{name} of {repository} differs from the hash that the hub announced and was removed.",
            remedy="Run the command again; if that does not help, the mirror has a damaged file.",
        )
    return path


def _ask_hub(repository: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401  # any result of the hub's client
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        return ask()
    except RepositoryNotFoundError as error:
        raise WeightsUnavailable(
            f"The hub has no repository {repository}, or it requires an account.",
            remedy="Correct the name, or set HF_TOKEN.",
        ) from error
    except HfHubHTTPError as error:
        raise WeightsUnavailable(f"The hub refused {repository}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # errors of the client and of two libraries below it: no answer
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsUnavailable(
            f"{repository} could not be fetched: {reason} No partial file was kept.",
            remedy="Run the command again; if the hub is out of reach, set HF_ENDPOINT to a mirror of it.",
        ) from error


def _progress_class(name: str, progress: Progress) -> type:
    """Return a class that huggingface_hub accepts as a progress bar, and that forwards to `progress`."""

    class Bar:
        def __init__(self, *, total: int | None = None, initial: int = 0, **_: object) -> None:
            self.total, self.n = total, initial
            progress(name, initial, total)

        def update(self, count: float = 1) -> None:
            self.n += int(count)
            progress(name, self.n, self.total)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            """Release nothing; huggingface_hub calls this at the end."""

    return Bar


# --- torchvision -----------------------------------------------------------------------------------------------------


def _from_torchvision(name: ModelName, progress: Progress) -> None:
    """Download published weights from their own address; torch compares the beginning of their hash."""
    import torch.hub

    address = str(torchvision_weights(name).url)
    file = Path(address).name
    folder = models_folder() or torch_folder()
    path = folder / file
    if path.is_file() and _checked(path).as_expected is not False:
        return
    folder.mkdir(parents=True, exist_ok=True)
    progress(file, 0, None)
    try:
        torch.hub.download_url_to_file(address, str(path), hash_prefix=_announced_hash(path), progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"{file} could not be fetched: {error}.", remedy=f"Download {address} elsewhere and copy it to {folder}."
        ) from error
    progress(file, path.stat().st_size, path.stat().st_size)
