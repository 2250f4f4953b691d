"""The `tnqbm` command; one module per group of commands."""

from mc.cli.command import cli, main

__all__ = ["cli", "main"]
