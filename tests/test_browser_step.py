"""The step of the README's test command that finds or installs a Chromium, on machines made up for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

import pytest

from tests import browser


@dataclass
class Machine:
    """A machine whose Chromium starts after the command that `installs` it names; notes the commands that ran."""

    programs: tuple[str, ...] = ()
    installs: str = "nothing"
    is_root: bool = True
    ran: list[str] = field(default_factory=list)

    def run(self, command: list[str]) -> None:
        self.ran.append(" ".join(command[command[0].startswith("/") :]))

    def find(self) -> str | None:
        return "1.0" if any(self.installs in command for command in self.ran) else None


def use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", machine.find)
    monkeypatch.setattr(browser, "_run", machine.run)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in machine.programs else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if machine.is_root else 1000)


DOWNLOAD = "-m playwright install --only-shell --no-progress chromium"


@pytest.mark.parametrize(
    ("machine", "ran"),
    [
        (Machine(("apt-get",), installs="playwright"), [DOWNLOAD]),
        (
            Machine(("apt-get",), installs="apt-get install"),
            [
                DOWNLOAD,
                "apt-get update -qq",
                "apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core",
            ],
        ),
        (
            Machine(("apk",), installs="apk add"),
            [DOWNLOAD, "apk add --quiet --update-cache chromium font-dejavu"],
        ),
    ],
    ids=["a download", "a package of Debian", "a package of Alpine"],
)
def test_a_chromium_is_installed_in_the_gentlest_way(
    machine: Machine, ran: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(machine, monkeypatch)
    browser.main()
    assert machine.ran == ran
    assert capsys.readouterr().out == "Chromium 1.0\n"


@pytest.mark.parametrize(
    ("machine", "how"),
    [
        (Machine(), "is on the path, then run"),
        (Machine(("dnf",), is_root=False), "is on the path (as root: dnf install -y -q chromium), then run"),
    ],
    ids=["without a package manager", "without the rights of root"],
)
def test_a_machine_that_gets_no_chromium_is_told_what_to_install(
    machine: Machine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(machine, monkeypatch)
    with pytest.raises(SystemExit) as end:
        browser.main()
    assert how in str(end.value.code)
    assert str(end.value.code).count(".") == 1
    assert machine.ran == [DOWNLOAD]
