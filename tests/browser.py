"""The Chromium that the tests of the page drive, found or installed.

`python -m tests.browser` prints which one it is. It takes a Chromium on the path; else it downloads the one that
Playwright keeps; else, if it runs as root, it installs the system's package; else it ends with a sentence about what
to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

__all__ = ["find", "install", "launch", "main", "missing"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PACKAGES = {
    "apt-get": ("chromium", "fonts-dejavu-core"),
    "dnf": ("chromium", "dejavu-sans-fonts"),
    "zypper": ("chromium", "dejavu-fonts"),
    "apk": ("chromium", "font-dejavu"),
    "pacman": ("chromium", "ttf-dejavu"),
}
"""The packages to install, by the program that installs them."""
COMMANDS = {
    "apt-get": (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends")),
    "dnf": (("install", "-y", "-q"),),
    "zypper": (("--non-interactive", "--quiet", "install"),),
    "apk": (("add", "--quiet", "--update-cache"),),
    "pacman": (("-Sy", "--noconfirm", "--needed"),),
}
"""The arguments of each call of a package manager; the packages follow those of the last one."""
DOWNLOAD_S = 600.0
MISSING = "No Chromium starts here: install it so that `chromium` is on the path{how}, then run this again."


def launch(playwright: Playwright) -> Browser:
    """Launch the first Chromium that starts: one on the path, else the one that Playwright has downloaded.

    Raises:
        RuntimeError: no Chromium starts.
    """
    for program in (*filter(None, map(shutil.which, PROGRAMS)), None):
        try:
            return playwright.chromium.launch(executable_path=program, args=SWITCHES)
        except Error:  # it is not there, or a library that it needs is not
            continue
    raise RuntimeError(missing())


def find() -> str | None:
    """Return the version of the Chromium that `launch` starts, or None if it starts none."""
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except RuntimeError:
            return None
        try:
            assert browser.new_page().evaluate("6 * 7") == 42
            return browser.version
        finally:
            browser.close()


def install() -> Iterator[Callable[[], None]]:
    """Yield the ways to get a Chromium, the gentlest first."""
    yield lambda: _run([sys.executable, "-m", "playwright", "install", "--only-shell", "--no-progress", "chromium"])
    manager = _manager()
    if manager is not None and os.geteuid() == 0:
        yield lambda: _install_package(manager)


def missing() -> str:
    """Return the sentence that says what to install on this system."""
    manager = _manager()
    how = "" if manager is None else f" (as root: {' '.join([manager, *COMMANDS[manager][-1], PACKAGES[manager][0]])})"
    return MISSING.format(how=how)


def main() -> None:
    """Find a Chromium or install one; end with exit status 1 if neither works."""
    version = find()
    for step in () if version else install():
        step()
        version = find()
        if version:
            break
    if version is None:
        sys.exit(missing())
    sys.stdout.write(f"Chromium {version}\n")


def _manager() -> str | None:
    return next(filter(shutil.which, PACKAGES), None)


def _install_package(manager: str) -> None:
    *before, last = COMMANDS[manager]
    for arguments in (*before, (*last, *PACKAGES[manager])):
        _run([manager, *arguments])


def _run(command: list[str]) -> None:
    """Run a command that may fail; only whether Chromium starts afterwards counts."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    sys.stdout.write(f"{' '.join(command)}\n")
    sys.stdout.flush()
    try:
        subprocess.run(command, check=False, timeout=DOWNLOAD_S, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")


if __name__ == "__main__":
    main()
