"""``python -m mc.cli`` is ``tnqbm``, for where scripts are not on the path."""

from mc.cli.command import main

main()
