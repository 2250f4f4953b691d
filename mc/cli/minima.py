"""Tables of ``tnqbm show``: hidden units and parameters at which the mean falls to a threshold."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mc.cli.common import print_rows, print_table
from tnqbm.archive import Archive
from tnqbm.archive.minimum_hidden import minimum_hidden_tables
from tnqbm.archive.rows import varying, with_families
from tnqbm.archive.savings import savings_table

if TYPE_CHECKING:
    from tnqbm.archive.minimum_hidden import HiddenRatio, MinimumHidden, Ratio
    from tnqbm.archive.savings import Saving

SIGNS = {"at least": "≥ ", "at most": "≤ "}


def show_minima(archive: Archive, threshold: float, where: Any, form: str) -> None:
    """The table of `tnqbm show --min-hidden`: hidden units, and ratios to the RBM."""
    minima, ratios = minimum_hidden_tables(archive, threshold=threshold, where=where)
    if form != "table":
        document = {"archive": str(archive.path), "threshold": threshold}
        document |= {"ratios": [_flat(row) for row in ratios]}
        print_rows(form, document, "minimum_hidden", [_flat(row) for row in minima])
        return
    varied = varying(row.other for row in minima)
    print_table(
        ["data", "n", *varied, "paulis", "m", "95 % interval", "whole m", "seeds", "note"],
        [
            [
                row.data,
                str(row.visible),
                *_values(row.other, varied),
                row.paulis,
                _crossing(row),
                _interval(row, *row.outside),
                "–" if row.m_min is None else str(row.m_min),
                str(row.seeds),
                row.note,
            ]
            for row in minima
        ],
        left=3 + len(varied),
        title=f"Hidden units m at which the mean TVD falls to {threshold:g}",
    )
    if ratios:
        print_table(
            ["data", "n", *varied, "paulis", "m(RBM)/m", "95 % interval", "predicted"],
            [
                [
                    row.data,
                    str(row.visible),
                    *_values(row.other, varied),
                    row.paulis,
                    "–" if row.ratio is None else f"{SIGNS.get(row.kind, '')}{row.ratio:.2f}",
                    "" if row.kind != "value" else _interval(row, "0", "∞"),
                    str(row.prediction),
                ]
                for row in ratios
            ],
            left=3 + len(varied),
            title="Hidden units of the RBM over those of each sqRBM",
        )


def show_savings(archive: Archive, threshold: float, where: Any, form: str) -> None:
    """The table of `tnqbm show --min-parameters`: what couplings save."""
    savings = savings_table(archive, threshold=threshold, where=where)
    if form != "table":
        document = {"archive": str(archive.path), "threshold": threshold}
        print_rows(form, document, "savings", [_flat_saving(row) for row in savings])
        return
    coordinates = with_families([dict(row.other) for row in savings])
    varied = varying([tuple(sorted(row.items())) for row in coordinates])
    print_table(
        ["data", "n", *varied, "paulis", "m", "parameters", "95 % interval", "over", "m ratio",
         "95 % interval", "parameter ratio", "95 % interval", "note"],
        [
            [
                row.data,
                str(row.visible),
                *(str(here.get(key, "")) for key in varied),
                row.paulis,
                _crossing(row.hidden),
                _crossing(row.parameters, digits=0),
                _interval(row.parameters, *row.parameters.outside, digits=0),
                row.reference,
                *_ratio(row.hidden_ratio, row.hidden.seeds),
                *_ratio(row.parameter_ratio, row.hidden.seeds),
                row.hidden.note,
            ]
            for here, row in zip(coordinates, savings, strict=True)
        ],
        left=3 + len(varied),
        title=f"Hidden units m and parameters at which the mean TVD falls to {threshold:g}, and "
        "those of the sqRBM or RBM over them",
    )  # fmt: skip


def _flat_saving(row: Saving) -> dict[str, Any]:
    """A saving as one flat record."""
    record: dict[str, Any] = {
        "data": row.data,
        "visible": row.visible,
        "paulis": row.paulis,
        **dict(row.other),
        "seeds": row.hidden.seeds,
        "note": row.hidden.note,
        "reference": row.reference,
    }
    for name, found, ratio in (
        ("hidden", row.hidden, row.hidden_ratio),
        ("parameters", row.parameters, row.parameter_ratio),
    ):
        ends = {"": found.crossing, "_low": found.low, "_high": found.high}
        record |= {f"{name}{end}": value for end, value in ends.items()}
        for key, value in (ratio._asdict() if ratio else {}).items():
            record[f"{name}_ratio" if key == "ratio" else f"{name}_ratio_{key}"] = value
    return record


def _ratio(ratio: Ratio | None, seeds: int) -> tuple[str, str]:
    """A ratio and its interval, in words."""
    if ratio is None or ratio.ratio is None:
        return ("" if ratio is None else "–"), ""
    words = f"{SIGNS.get(ratio.kind, '')}{ratio.ratio:.2f}"
    if ratio.kind != "value" or seeds < 2:
        return words, ""
    ends = ("0" if ratio.low is None else f"{ratio.low:.2f}",
            "∞" if ratio.high is None else f"{ratio.high:.2f}")  # fmt: skip
    return words, " to ".join(ends)


def _values(other: Any, keys: list[str]) -> list[str]:
    """A result's further coordinates that have a column."""
    return [str(dict(other).get(key, "")) for key in keys]


def _crossing(row: MinimumHidden, digits: int = 2) -> str:
    """Where the mean falls to the threshold, or the bound that is known of it."""
    if row.crossing is None:
        return f"> {row.tried[-1]}"
    return f"≤ {row.tried[0]}" if row.at_smallest else f"{row.crossing:.{digits}f}"


def _flat(row: Any) -> dict[str, Any]:
    """A result as one flat record, its further coordinates beside the main ones."""
    record = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {**dict(record.pop("other")), **record}


def _interval(row: MinimumHidden | HiddenRatio, low: str, high: str, digits: int = 2) -> str:
    """A bootstrap interval, with ``low`` and ``high`` for ends that are open."""
    if row.seeds < 2:
        return ""
    ends = (
        low if row.low is None else f"{row.low:.{digits}f}",
        high if row.high is None else f"{row.high:.{digits}f}",
    )
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
