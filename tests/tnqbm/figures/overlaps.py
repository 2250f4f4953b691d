"""Whether the parts of a figure are whole and leave each other room."""

from __future__ import annotations

from itertools import combinations
from typing import Any


def check_layout(figure: Any, axes: Any) -> None:
    """No text, legend or panel is cut off or lies on another, and texts of panels are inside."""
    figure.draw_without_rendering()
    boxes = {}
    for k, text in enumerate(figure.texts):
        boxes[f"text {k}: {text.get_text()}"] = text.get_window_extent()
    for k, legend in enumerate(figure.legends):
        boxes[f"legend {k}"] = legend.get_window_extent()
    for k, axis in enumerate(axes.flat):
        if axis is None:
            continue
        for part in (axis.title, axis.xaxis.label, axis.yaxis.label):
            if part.get_text():
                boxes[f"panel {k}: {part.get_text()}"] = part.get_window_extent()
        boxes[f"panel {k}"] = axis.get_window_extent()
        for text in axis.texts:  # inside its panel
            inner, outer = text.get_window_extent(), axis.get_window_extent()
            assert inner.x0 >= outer.x0 - 1, text.get_text()
            assert inner.x1 <= outer.x1 + 1, text.get_text()
    for name, box in boxes.items():
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.width, name
        assert box.y1 <= figure.bbox.height, name
    for (one, first), (two, second) in combinations(boxes.items(), 2):
        shared_x = min(first.x1, second.x1) - max(first.x0, second.x0)
        shared_y = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(shared_x, shared_y) <= 1.0, f"{one} overlaps {two}"
