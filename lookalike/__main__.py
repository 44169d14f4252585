"""The command line as a module: `python -m lookalike`."""

from __future__ import annotations

from lookalike.ui.cli.main import main

if __name__ == "__main__":
    main()
