"""Calling commands in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from mc.cli import cli


def caller(*prefix: str) -> Callable[..., Result]:
    """A function that runs a command with further words; its exit code must be ``code``."""

    def call(*words: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, [*prefix, *map(str, words)])
        assert result.exit_code == code, result.output
        if code:
            assert "Traceback" not in result.output
        return result

    return call


def message_of(call: Callable[..., Result]) -> Callable[..., str]:
    """A function that returns the error message of a command that must fail."""

    def message(*words: str | Path, code: int = 1) -> str:
        text = call(*words, code=code).stderr
        assert "Error: " in text
        return text

    return message


def check_help(name: str) -> None:
    """The command is listed, and its help has examples and says that it prints JSON."""
    text = caller(name)("--help").stdout
    assert "Example" in text
    assert f"tnqbm {name}" in text
    assert "--json" in text
    assert name in caller()("--help").output
