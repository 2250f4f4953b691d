"""Folders form a list; imports go down it, and inside a folder they form no circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

ORDER = {
    "tnqbm": (
        "base", "files", "core", "kernels", "datasets", "networks", "exact", "hamiltonian",
        "training", "archive", "model_tools", "quality", "quantum", "interop", "figures", "report",
    ),
    "mc": ("kernels", "sampling", "estimators", "interop", "studies", "running", "cli"),
}  # fmt: skip
"""Folders from the bottom up: a module imports, at load or later, only from its own folder and
from those before it. docs/architecture.md has the same list."""


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


def test_paths_on_the_page_exist() -> None:
    paths = re.findall(r"`((?:tnqbm|mc|tests|scripts|docs)/[\w./-]+)`", PAGE)
    assert len(paths) > 10
    missing = [
        path for path in paths if not any((ROOT / (path + end)).exists() for end in ("", ".py"))
    ]
    assert not missing, missing


@pytest.mark.parametrize("package", ORDER)
def test_folders_import_only_what_stands_before_them(package: str) -> None:
    place = {folder: k for k, folder in enumerate(ORDER[package])}
    wrong = []
    for module, others in imports(package, later=True).items():
        folder = module.split(".")[1]
        for other in others:
            above = other.split(".")[1]
            upwards = folder in place and place.get(above, -1) > place[folder]
            if upwards:
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


# --- who knows what ----------------------------------------------------------------------------

OWN_NAMES = (
    "tnqbm/training/estimators/", "tnqbm/training/optimizers/", "mc/estimators/", "mc/sampling/",
)  # fmt: skip
"""Where estimators, evaluators and optimizers stand themselves, and what has names of its own."""

OTHER_CHOICES = {"method", "chosen", "kernel", "order", "solver", "inner_solver"}
"""Variables that hold other choices, of which some are called like an estimator: how log Z is
found, say. Below mc/sampling/ all are such: moves of chains, and methods for log Z."""

COMMON_NAMES = {"auto", "none"}
"""Names of evaluators that are values of many other settings, too."""


def parsed(packages: Iterable[str] = ORDER) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield path.relative_to(ROOT).as_posix(), tree


def texts_in(node: ast.AST | None, constants: Mapping[str, ast.AST]) -> Iterator[str]:
    """Texts that a value is compared with: constants, lists of them, and names of either."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for element in node.elts:
            yield from texts_in(element, constants)
    elif isinstance(node, ast.Name) and node.id in constants:
        yield from texts_in(constants[node.id], {})


def comparisons(tree: ast.Module) -> Iterator[tuple[ast.AST, set[str], set[str]]]:
    """Where something is compared: the place, the words of what is, and the texts it is with."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            patterns = [part for case in node.cases for part in ast.walk(case.pattern)]
            values = [part.value for part in patterns if isinstance(part, ast.MatchValue)]
            sides = [node.subject, *values]
        else:
            continue
        inside = [part for side in sides for part in ast.walk(side)]
        words = {part.id for part in inside if isinstance(part, ast.Name)}
        words |= {part.attr for part in inside if isinstance(part, ast.Attribute)}
        yield node, words, {text for side in sides for text in texts_in(side, constants)}


def compared_names(tree: ast.Module, names: Container[str]) -> list[str]:
    """Comparisons of anything with names of estimators, evaluators or optimizers."""
    return [
        f"line {place.lineno}: {ast.unparse(place).splitlines()[0]}"  # type: ignore[attr-defined]
        for place, words, texts in comparisons(tree)
        if not words & OTHER_CHOICES and any(text in names for text in texts)
    ]


def part_names() -> set[str]:
    from mc.estimators.settings import provide
    from tnqbm.training.settings import PARTS

    provide()
    return {name for registry in PARTS.values() for name in registry.names()} - COMMON_NAMES


def test_nobody_asks_an_estimator_or_optimizer_for_its_name() -> None:
    """What differs between them is a property that each declares."""
    names = part_names()
    assert {"exact", "pcd", "ais", "adam", "em"} <= names
    wrong = [
        f"{path}, {line}"
        for path, tree in parsed()
        if not path.startswith(OWN_NAMES)
        for line in compared_names(tree, names)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "code",
    [
        "settings.gradient.name == 'pcd'",
        "'em' != optimizer",
        "label in ('exact', 'other')",
        "KNOWN = ('exact', 'contraction')\nif name in KNOWN: pass",
        "match name:\n    case 'adam' | 'sgd': pass",
    ],
)
def test_comparisons_with_names_are_found(code: str) -> None:
    assert len(compared_names(ast.parse(code), part_names())) == 1
    assert not compared_names(ast.parse(code), {"tensor"})


FOREIGN_INSIDES = {
    # Numba's index of its cache.
    "tnqbm/kernels/cache.py": {"_index_key", "_load_index", "_locator_classes"},
}
"""Private names of other libraries that have no public ones."""

PUBLIC_DESPITE_NAME = {"_exit", "_replace", "_asdict", "_fields", "_make", "_field_defaults"}
"""What named tuples offer to everybody, and how a process ends at once."""


def private_accesses(tree: ast.Module) -> list[tuple[int, str, str]]:
    """Where private attributes of something else are read or written: line, name and text.

    A class may look into other objects of its own, which it calls ``other`` or asks ``super()``.
    """
    wrong: list[tuple[int, str, str]] = []

    def visit(node: ast.AST, own: set[str]) -> None:
        if isinstance(node, ast.ClassDef):
            own = own | {"other", node.name}
        if isinstance(node, ast.Attribute):
            name, holder = node.attr, node.value
            private = name.startswith("_") and not name.endswith("__")
            mine = isinstance(holder, ast.Name) and holder.id in own
            mine = mine or (isinstance(holder, ast.Call) and ast.unparse(holder) == "super()")
            if private and not mine and name not in PUBLIC_DESPITE_NAME:
                wrong.append((node.lineno, name, ast.unparse(node)))
        for child in ast.iter_child_nodes(node):
            visit(child, own)

    visit(tree, {"self", "cls"})
    return wrong


def test_nobody_touches_what_is_private_to_another() -> None:
    wrong = [
        f"{path}, line {line}: {text}"
        for path, tree in parsed()
        for line, name, text in private_accesses(tree)
        if name not in FOREIGN_INSIDES.get(path, ())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("def f(study): study._file = 1", 1),
        ("class A:\n    def f(self, other): return self._x == other._x + A._y + super()._z", 0),
        ("class A:\n    def f(self): return self.b._x", 1),
        ("row._replace(a=1)", 0),
        ("module.__name__", 0),
    ],
)
def test_private_attributes_are_found(code: str, count: int) -> None:
    assert len(private_accesses(ast.parse(code))) == count
