"""The command line ``tnqbm``: one module per command, which parses, calls and prints.

Imports everything, each module when its command is called. Start with :mod:`~mc.cli.command`; what
commands share is in :mod:`~mc.cli.options` and :mod:`~mc.cli.common`.
"""

from mc.cli.command import cli, main

__all__ = ["cli", "main"]
