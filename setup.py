"""What pyproject.toml cannot say: distributions hold the commit that they were built from."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
MODULE = Path("tnqbm", "base", "commit.py")


def write_commit(folder: str) -> None:
    """Write the commit into a copy of the packages; what an sdist holds of it stays."""
    if not (ROOT / ".git").exists():
        return
    code = runpy.run_path(str(ROOT / MODULE))
    if commit := code["described"](ROOT):
        Path(folder, MODULE).with_name(code["FILE"]).write_text(commit + "\n", encoding="ascii")


class BuildWithCommit(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # there the repository itself is asked
            write_commit(self.build_lib)


class SdistWithCommit(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit})
