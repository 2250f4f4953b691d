"""Links from pages to files of the repository that are no pages of the site.

On GitHub ``../scripts/studies/local.toml`` opens the file. In the site MyST makes a download of
it, which leaves two cases: folders, and Markdown files outside ``docs``. A folder becomes the
README that tells of it, its own or that of a folder above; a Markdown file is offered as a
download like the others.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\[]+)\]\((?P<path>\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def rewritten(source: str, folder: Path, docs: Path) -> str:
    """The Markdown of a page in ``folder`` with its links to outside of ``docs`` made to work.

    Links that lead nowhere stay as they are, for Sphinx to complain about.
    """

    def replace(match: re.Match[str]) -> str:
        target = (folder / match["path"]).resolve()
        if target == docs or docs in target.parents or not target.exists():
            return match.group()
        if target.is_dir():
            above = [
                folder for folder in (target, *target.parents) if docs.parent in folder.parents
            ]
            readmes = (one / "README.md" for one in above)
            target = next((one for one in readmes if one.exists()), target)
            if target.is_dir():
                return match["text"]
        if target.suffix == ".md":
            place = os.path.relpath(target, docs).replace(os.sep, "/")
            # The role takes paths from the root of the pages, with a leading slash.
            return f"{{download}}`{match['text']} </{place}>`"
        return match.group()

    return _LINK.sub(replace, source)


def _read(app: Any, name: str, source: list[str]) -> None:
    docs = Path(app.srcdir).resolve()
    source[0] = rewritten(source[0], Path(app.env.doc2path(name)).resolve().parent, docs)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
