"""docs/architecture.md names every module, and imports go the way it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@cache
def modules(package: str) -> dict[str, Path]:
    """All modules but the package itself, subpackages by their own name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != package:
            found[name] = path
    return found


@cache
def listed(package: str) -> list[str]:
    """Modules in the order of the tables under "`package`, from the bottom up".

    A name that ends in * stands for the modules it fits that are not listed by themselves.
    """
    start = PAGE.index(f"`{package}`, from the bottom up")
    ends = [PAGE.find(end, start) for end in ("`mc`, from the bottom up", "`scripts/` holds")]
    text = PAGE[start : min(end for end in ends if end > start)]
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    names = [f"{package}.{name}" for row in rows for name in re.findall(r"`([\w.*]+)`", row)]
    found = []
    for name in names:
        fitting = [one for one in modules(package) if fnmatch(one, name) and one not in names]
        found += fitting if name.endswith("*") else [name]
    return found


def imported(statements: list[ast.stmt]) -> Iterator[str]:
    """What statements import when the module is loaded; not what only type checkers read."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If | ast.Try | ast.With) and not (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            yield from imported([*node.body, *getattr(node, "orelse", [])])


def module_of(name: str, known: Container[str]) -> str | None:
    """The module that an imported name belongs to, None if it is none of ``known``."""
    parts = name.split(".")
    heads = (".".join(parts[:k]) for k in range(len(parts), 1, -1))
    return next((head for head in heads if head in known), None)


@pytest.mark.parametrize("package", ["tnqbm", "mc"])
def test_every_module_is_listed_once(package: str) -> None:
    rows = listed(package)
    assert len(rows) == len(set(rows))
    assert set(rows) == set(modules(package))


@pytest.mark.parametrize("package", ["tnqbm", "mc"])
def test_modules_import_only_what_stands_before_them(package: str) -> None:
    order = listed(package)
    place = {name: k for k, name in enumerate(order)}
    wrong = []
    for module, path in modules(package).items():
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        for name in imported(statements):
            other = module_of(name, place)
            if other is not None and place[other] >= place.get(module, 0):
                wrong.append(f"{module} imports {other}")
    assert not wrong


def test_tnqbm_never_imports_mc() -> None:
    for path in modules("tnqbm").values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                heads = names if isinstance(node, ast.Import) else [node.module or ""]
                assert not any(head.split(".")[0] == "mc" for head in heads), path
