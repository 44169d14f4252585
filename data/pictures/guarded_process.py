"""Processes that read one untrusted file and can open nothing, each with limits on time and memory.

Some decoders open files that their input names, or have no limits of their own. They run in a process that gives up the
right to open anything before it reads its input; the operating system enforces that. A process that exceeds its limits
or crashes ends by itself and takes nothing else along.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.decode_memory import decode_memory

__all__ = ["GuardedProcess"]

_CHILD = "guarded_child.py"
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class GuardedProcess:
    """A program for one kind of file: `noun` names the kind for messages, as in "The drawing".

    `package` is what the program imports, and `extra` is the extra that installs it.
    """

    program: str
    package: str
    extra: str
    noun: str
    plural: str

    def run(self, content: bytes, arguments: Sequence[object], *, cpu_seconds: int, memory_bytes: int) -> bytes:
        """Return what the program makes of `content`; its function `render` takes it and the `arguments`.

        Raises:
            NotAPicture: the file cannot be read, takes too much time or memory, the package is not installed, or this
                system cannot keep a process from opening files.
        """
        try:
            package = importlib.util.find_spec(self.package)
        except ValueError:  # the import of the package is blocked
            package = None
        if package is None or package.origin is None:
            raise NotAPicture(
                f"{self.plural} need an extra that is not installed.",
                unread=self.plural,
                remedy=f"Install it with: pip install 'lookalike[{self.extra}]'",
            )
        if importlib.util.find_spec("resource") is None:
            raise NotAPicture(
                f"{self.plural} are not read on this system, which cannot keep them from opening files.",
                unread=self.plural,
                remedy="Convert them to PNG.",
            )
        folder, limits = str(Path(package.origin).parent.parent), (cpu_seconds, memory_bytes)
        child, program = (str(Path(__file__).with_name(name)) for name in (_CHILD, self.program))
        try:
            with decode_memory.reserve(memory_bytes):
                done = subprocess.run(
                    [sys.executable, "-I", "-S", child, program, folder, *map(str, (*limits, *arguments))],
                    input=content,
                    capture_output=True,
                    timeout=_WAIT_S,
                    env={},
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise NotAPicture(f"The {self.noun} was not rendered within {_WAIT_S:.0f} seconds.") from error
        if done.returncode:
            raise NotAPicture(self._failure_reason(done.returncode, done.stderr, cpu_seconds))
        return done.stdout

    def _failure_reason(self, code: int, stderr: bytes, cpu_seconds: int) -> str:
        if -code in (signal.SIGXCPU, signal.SIGKILL):
            return f"The {self.noun} takes more than {cpu_seconds} seconds of processor time to render."
        if code < 0:
            return f"The {self.noun} is nested too deeply or needs too much memory."
        reason = stderr.decode("utf-8", "replace").strip()[:200] or "no reason given"
        return f"The {self.noun} cannot be rendered ({reason})."
