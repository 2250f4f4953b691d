"""The ``tnqbm`` command, also as ``python -m tnqbm``: says so where a file hides the package mc.

The command itself is in the package mc, on which nothing in this one rests: it is found by name.
"""

from __future__ import annotations

import sys
from importlib import import_module

from tnqbm.base.errors import HiddenPackageError
from tnqbm.base.process import check_beside, launcher_rank

COMMAND = "mc.cli"


def main() -> None:
    """Entry point of the ``tnqbm`` script."""
    try:
        check_beside(COMMAND.partition(".")[0])
        command = import_module(COMMAND)
    except HiddenPackageError as error:
        sys.exit(1 if launcher_rank() else f"Error: {error}")
    command.main()


if __name__ == "__main__":
    main()
