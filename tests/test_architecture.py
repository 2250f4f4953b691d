"""Folders form a list; imports go down it, and inside a folder they form no circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

ORDER = {
    "tnqbm": (
        "base", "files", "core", "kernels", "datasets", "networks", "exact", "hamiltonian",
        "training", "archive", "model_tools", "quality", "quantum", "figures", "report",
    ),
    "mc": ("kernels", "sampling", "estimators", "studies", "running", "cli"),
}  # fmt: skip
"""Folders from the bottom up: a module imports, at load or later, only from its own folder and
from those before it. docs/architecture.md has the same list."""

BEHIND_NAMES = {
    ("core", "hamiltonian"),  # SqRBM.hamiltonian() makes an object of the folder above
    ("studies", "running"),  # how many ranks may share a run
}
"""Pairs (folder, folder above it) where a function may import upwards when it is called."""


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


def imported(nodes: Iterator[ast.AST], *, later: bool) -> Iterator[str]:
    """What is imported when a module is loaded and, if ``later``, when its functions are called."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif later or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported(ast.iter_child_nodes(node), later=later)


def module_of(name: str, known: Container[str]) -> str | None:
    """The module that an imported name belongs to, None if it is none of ``known``."""
    parts = name.split(".")
    heads = (".".join(parts[:k]) for k in range(len(parts), 1, -1))
    return next((head for head in heads if head in known), None)


@cache
def imports(package: str, *, later: bool) -> dict[str, set[str]]:
    """The modules of its own package that each module imports."""
    known = modules(package)
    found: dict[str, set[str]] = {}
    for module, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = imported(ast.iter_child_nodes(tree), later=later)
        found[module] = {other for name in names if (other := module_of(name, known))} - {module}
    return found


@pytest.mark.parametrize("package", ORDER)
def test_every_folder_has_a_place_and_a_docstring(package: str) -> None:
    folders = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ORDER[package])
    for folder in folders:
        text = (ROOT / package / folder / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{package}/{folder} does not say what it is for"
    start = PAGE.index(f"`{package}`, from the bottom up")
    rows = re.findall(r"^\| `(\w+)` \|", PAGE[start:], flags=re.MULTILINE)
    assert rows[: len(folders)] == list(ORDER[package])


@pytest.mark.parametrize("package", ORDER)
def test_folders_import_only_what_stands_before_them(package: str) -> None:
    place = {folder: k for k, folder in enumerate(ORDER[package])}
    wrong = []
    for module, others in imports(package, later=True).items():
        folder = module.split(".")[1]
        for other in others:
            above = other.split(".")[1]
            upwards = folder in place and place.get(above, -1) > place[folder]
            if upwards and (folder, above) not in BEHIND_NAMES:
                wrong.append(f"{module} imports {other}")
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("package", ORDER)
def test_no_circles(package: str) -> None:
    graph = imports(package, later=False)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in graph[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_tnqbm_never_imports_mc() -> None:
    for path in modules("tnqbm").values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in imported(ast.iter_child_nodes(tree), later=True):
            assert name.split(".")[0] != "mc", path
