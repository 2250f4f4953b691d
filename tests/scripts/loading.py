"""Load the modules of a folder of scripts, which import one another by bare names."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

SCRIPTS = Path(__file__).parents[2] / "scripts"


@cache
def load(folder: str) -> SimpleNamespace:
    """All modules of ``scripts/<folder>`` as attributes; ``sys.modules`` stays as it was."""
    names = [path.stem for path in sorted((SCRIPTS / folder).glob("*.py"))]
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(SCRIPTS / folder))
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(SCRIPTS / folder))
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
