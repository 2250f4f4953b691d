"""Docstrings as reStructuredText.

The docstrings of the packages are written to be read in an editor: plain text, names in double
backquotes, ``:func:`` and its kind for references, formulae such as ``2**n`` or ``|psi|^2`` as
they are, indented where they stand alone, and what arguments mean as lines ``name : text``, with
or without a NumPy heading above. This extension escapes what reStructuredText would take for
markup, shows indented formulae as they were typed, and makes definition lists of the arguments.
It does the same to the help texts of the command line.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

_KEPT = re.compile(r"``.+?``|:[a-z:]+:`[^`]+`")
_SECTIONS = {"Parameters", "Attributes", "Returns", "Raises", "Yields"}
_ITEM = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*) : (?P<text>.*)$")
_ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[~?tuple\[~?(?:typing\.)?Any, ?\.\.\.\], "
    r"?~?(?:numpy\.)?dtype\[(.*?)\]\]"
)
_LIST = re.compile(r"^(?:[-*+]|\d+[.)])\s")


def escaped(text: str) -> str:
    """Text with every character escaped that means something outside of literals and roles."""
    parts, end = [], 0
    for kept in _KEPT.finditer(text):
        parts += [_plain(text[end : kept.start()]), kept.group()]
        end = kept.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    text = re.sub(r"([*|`\\])", r"\\\1", text)
    return re.sub(r"(\w)_(?=\W|$)", r"\1\\_", text)


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring, without common indentation, as reStructuredText."""
    found: list[str] = []
    listed = False
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        if len(paragraph) > 1 and first in _SECTIONS and set(paragraph[1].strip()) == {"-"}:
            found += [f".. rubric:: {first}", ""]
            paragraph = paragraph[2:]
            if not paragraph:
                continue
            first = paragraph[0]
        if first.startswith(" ") and not listed:
            found += ["::", "", *(f"   {line}" for line in paragraph), ""]
        elif _ITEM.match(first):
            found += _definitions(paragraph)
        elif _LIST.match(first.strip()) or first.startswith(" "):
            listed = True
            found += [_indented(line) for line in paragraph]
        else:
            found += _text(paragraph)
        found.append("")
        listed = listed and (first.startswith(" ") or bool(_LIST.match(first)))
    return found


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines between blank ones; indented runs that follow one another stay together."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line.rstrip())
        elif found[-1]:
            found.append([])
    return [paragraph for paragraph in found if paragraph]


def _text(paragraph: list[str]) -> list[str]:
    """A paragraph, which may lead into a list without a blank line between."""
    rows: list[str] = []
    for line in paragraph:
        if _LIST.match(line) and rows and not _LIST.match(rows[-1].strip()):
            rows.append("")
        inside = any(_LIST.match(row) for row in rows)
        rows.append(_indented(line) if inside or _LIST.match(line) else escaped(line.strip()))
    return rows


def _indented(line: str) -> str:
    """A line of a list: marker and indentation stay, its text is text."""
    body = line.lstrip()
    space = line[: len(line) - len(body)]
    marker = _LIST.match(body)
    head = marker.group() if marker else ""
    return space + head + escaped(body[len(head) :])


def _definitions(paragraph: list[str]) -> list[str]:
    """Lines ``name : text`` and their continuations as a definition list."""
    rows: list[str] = []
    for line in paragraph:
        item = _ITEM.match(line)
        if item:
            rows.append(", ".join(f"``{name}``" for name in item["names"].split(", ")))
            rows.append("    " + escaped(item["text"]))
        else:
            rows.append("    " + escaped(line.strip()))
    return rows


def _docstring(
    app: Any, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    lines[:] = converted(lines)


def _signature(
    app: Any,
    what: str,
    name: str,
    obj: object,
    options: object,
    given: str | None,
    back: str | None,
) -> tuple[str | None, str | None]:
    """NumPy's arrays by the name under which the sources know them."""
    return given and arrays(given), back and arrays(back)


def arrays(text: str) -> str:
    """Types of arrays as ``NDArray[float64]``."""
    text = re.sub(
        r"~?[\w.]*_?Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]", "ArrayLike", text
    )
    text = re.sub(r"~?[\w.]*TypeAliasForwardRef\('(.*?)'\)", r"\1", text)
    return _ARRAY.sub(r"NDArray[\1]", text)


def _description(app: Any, domain: str, kind: str, content: Any) -> None:
    """The same for attributes and properties, whose types go another way."""
    for annotation in content.parent.findall(addnodes.desc_annotation):
        text = annotation.astext()
        if "ndarray[" in text or "TypeAliasForwardRef" in text:
            annotation.clear()
            annotation += nodes.Text(arrays(text))


def _reference(app: Any, env: Any, node: Any, inner: Any) -> Any:
    """Links to where a name is documented: ``mc.sampling.sample.sample`` is ``mc.sample``."""
    if node.get("refdomain") != "py":
        return None
    package, _, rest = str(node.get("reftarget", "")).partition(".")
    objects = env.get_domain("py").objects
    tail = rest.rpartition(".")[2]
    if package not in ("tnqbm", "mc") or not tail:
        return None
    fitting = [f"{package}.{tail}", *(f"{package}.{rest.split('.', n)[-1]}" for n in (1, 2, 3))]
    for name in fitting:
        if name in objects:
            return make_refnode(
                app.builder, node["refdoc"], objects[name].docname, objects[name].node_id, inner
            )
    return None


def _options(app: Any, context: object, lines: list[str]) -> None:
    """Stars in the help of options, as in ``PREFIX-*.png``, are stars."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith(("..", ":")):
            lines[k] = re.sub(r"(?<![*\s])\*(?!\*)", r"\\*", line)


def _help(app: Any, context: object, lines: list[str]) -> None:
    """Blocks that keep their lines, such as examples, as literal text."""
    lines[:] = literal_blocks(lines)


def literal_blocks(lines: list[str]) -> list[str]:
    """Line blocks (``| text``) as literal blocks, their first line as a heading if it is one."""
    found: list[str] = []
    inside = False
    for line in lines:
        if not line.startswith("| "):
            if inside:
                found.append("")
            inside = False
            found.append(line)
            continue
        text = line[2:]
        if not inside and text.rstrip().endswith(":"):
            found += ["", text.rstrip() + ":", ""]
        elif not inside:
            found += ["", "::", "", f"    {text}"]
        else:
            found.append(f"    {text}")
        inside = True
    return found


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    app.connect("object-description-transform", _description)
    app.connect("missing-reference", _reference)
    app.connect("sphinx-click-process-description", _help)
    app.connect("sphinx-click-process-options", _options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
