"""Hidden qubits that are coupled: their entanglement before and after training, and gradients.

    python scripts/paper/lateral.py -o lateral.json --figure lateral-gradients.png --table

Trains sqBMs with hidden qubits in groups, exactly, and takes the negativity of the first half of
every group given v, averaged over p(v) and the groups: that of the whole Gibbs state, whose visible
part is classical. And the variance of gradient components over random parameters against m, for
groups and for all-to-all couplings, in search of barren plateaus.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = ("bas", "on2", "cardinality", "parity")
SEEDS = 5
VISIBLE = 6
GROUPS = {2: 4, 4: 4}
"""Hidden qubits of the trained models, by size of their groups."""

SIZES = (2, 4, 6)
"""m of the gradients, at n = 4 and the couplings below."""

COUPLINGS = {"groups-2": "pairs", "groups-4": "groups of four", "all": "all to all"}
DRAWS = {1.0: 200, 10.0: 200}
"""Draws by scale: that at which trainings start, and that of the paper's Supplementary Note 9."""

Float = NDArray[np.float64]


def negativity(rho: NDArray[Any]) -> Float:
    """(||rho^T_A||_1 - 1) / 2 of states (..., D, D) of 2 or 4 qubits, A the first half; (...)."""
    half = round(rho.shape[-1] ** 0.5)
    parts = rho.reshape(*rho.shape[:-2], half, half, half, half)
    transposed = np.swapaxes(parts, -4, -2).reshape(rho.shape)
    return np.asarray(0.5 * (np.abs(np.linalg.eigvalsh(transposed)).sum(axis=-1) - 1.0))


def entanglement(model: Any) -> float:
    """Mean negativity of the halves of the groups, over p(v) and groups."""
    from tnqbm.core.states import spins, states_of
    from tnqbm.hamiltonian.group_matrices import group_hamiltonians, thermal_parts

    n = model.n_visible
    s, p = spins(states_of(np.arange(1 << n), n)), model.probabilities()
    found = []
    for matrix in group_hamiltonians(model, s):
        _, populations, vectors = thermal_parts(matrix)
        rho = (vectors * populations[:, None]) @ np.conj(np.swapaxes(vectors, 1, 2))
        found.append(float(p @ negativity(rho)))
    return float(np.mean(found))


def trained(data: str, size: int, seeds: int, iterations: int) -> list[dict[str, Any]]:
    """Entanglement at the start and at the end, and the final TVD, of every seed."""
    import tnqbm
    from mc.studies.seeds import initial_stream, target_stream
    from tnqbm.training.groups import SqBMProblem

    m = GROUPS[size]
    where: dict[str, Any] = {"visible": VISIBLE, "hidden": m, "paulis": "XZ", "data": data}
    starts, targets = [], []
    for seed in range(1, seeds + 1):
        stream = target_stream(0, data, VISIBLE, seed if data == "on2" else 0)
        targets.append(tnqbm.datasets.load(data, VISIBLE, seed=stream))
        own = initial_stream(0, where, seed)
        starts.append(tnqbm.SqBM(VISIBLE, m, hidden_edges=f"groups-{size}", paulis="XZ", seed=own))
    settings = tnqbm.TrainingSettings(iterations=iterations, records=2)
    trainer = tnqbm.Trainer(SqBMProblem(starts, targets), settings)
    trainer.advance(iterations)
    return [
        {
            "data": data, "group": size, "seed": seed, "tvd": path.final["tvd"],
            "start": entanglement(start), "end": entanglement(path.model),
        }
        for seed, (start, path) in enumerate(zip(starts, trainer.trajectories(), strict=True), 1)
    ]  # fmt: skip


def spread(name: str, m: int, scale: float, draws: int) -> dict[str, Any]:
    """Variances of gradient components on parity, n = 4, averaged over those of one kind."""
    import tnqbm
    from tnqbm import hamiltonian

    target = tnqbm.datasets.load("parity", 4)
    small = name != "all" or m <= 4
    gradients = []
    for draw in range(draws):
        seed = np.random.SeedSequence([m, draw, int(scale)])
        how: dict[str, Any] = {"hidden_edges": name, "paulis": "XZ", "scale": scale, "seed": seed}
        if small:
            gradients.append(tnqbm.SqBM(4, m, **how).gradient(target))
        else:
            model = hamiltonian.sqbm(4, m, visible_edges=None, **how)
            gradients.append(np.array([*model.gradient(target).values()]))
    variance = np.var(gradients, axis=0)
    # In the order of terms: a, b, w, couplings of hidden qubits.
    first, last = 4 + 2 * m, 4 + 2 * m * 5
    return {
        "couplings": name, "m": m, "scale": scale, "draws": draws,
        "w": float(variance[first:last].mean()), "hidden": float(variance[last:].mean()),
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """Both results in Markdown."""
    lines = [
        "| data | groups of | negativity, start | negativity, end | largest, end | TVD |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size in GROUPS:
        for data in DATA:
            rows = [r for r in found["trained"] if (r["data"], r["group"]) == (data, size)]
            if rows:
                cells = (_mean([r[key] for r in rows]) for key in ("start", "end"))
                most = max(r["end"] for r in rows)
                tvd = _mean([r["tvd"] for r in rows])
                lines.append(f"| {data} | {size} | {' | '.join(cells)} | {most:.4f} | {tvd} |")
    lines += [
        "",
        "| parameters in | couplings | variance of w, " + " | ".join(f"m = {m}" for m in SIZES)
        + " | of hidden couplings, " + " | ".join(f"m = {m}" for m in SIZES) + " |",
        "| --- " * (2 + 2 * len(SIZES)) + "|",
    ]  # fmt: skip
    for scale in DRAWS:
        for name, words in COUPLINGS.items():
            rows = [r for r in found["spread"] if (r["couplings"], r["scale"]) == (name, scale)]
            cells = [f"{r[kind]:.3g}" for kind in ("w", "hidden") for r in rows]
            lines.append(f"| [-{scale:g}, {scale:g}] | {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def figure(found: dict[str, Any], path: Path) -> None:
    """Variances against m, a panel for every scale."""
    from tnqbm.figures import layout, save_figure

    layout.require_matplotlib()
    colours = dict(zip(COUPLINGS, ("#0072B2", "#D55E00", "#009E73"), strict=True))
    with layout.style():
        drawn, axes = layout.grid(1, len(DRAWS))
        for axis, scale in zip(axes[0], DRAWS, strict=True):
            axis.set_title(f"parameters in [-{scale:g}, {scale:g}]")
            for name, colour in colours.items():
                rows = [r for r in found["spread"] if (r["couplings"], r["scale"]) == (name, scale)]
                x = [r["m"] for r in rows]
                for kind, line in (("w", "-"), ("hidden", "--")):
                    axis.semilogy(x, [r[kind] for r in rows], line, color=colour, marker="o")
            axis.set_xticks(SIZES)
        handles = [layout.line_handle(COUPLINGS[k], c, "-") for k, c in colours.items()]
        handles += [layout.line_handle("couplings of hidden qubits", layout.GREY, "--")]
        layout.finish(
            drawn, axes, title="Variance of gradients, parity, n = 4, XZ",
            note="solid: couplings of visible and hidden units", x="Hidden units m",
            y="Variance", handles=handles,
        )  # fmt: skip
    save_figure(drawn, path, overwrite=True)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("lateral.json"))
    parser.add_argument("--figure", type=Path, metavar="FIGURE.png")
    parser.add_argument("--table", action="store_true", help="print the numbers as Markdown")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the tables into a page")
    parser.add_argument("--quick", action="store_true", help="few and short, to try it out")
    options = parser.parse_args(arguments)
    if not options.output.exists():
        seeds, iterations = (1, 20) if options.quick else (SEEDS, 1000)
        found = {
            "trained": [
                row for size in GROUPS for data in DATA
                for row in trained(data, size, seeds, iterations)
            ],
            "spread": [
                spread(name, m, scale, 4 if options.quick else draws)
                for scale, draws in DRAWS.items() for name in COUPLINGS for m in SIZES
            ],
        }  # fmt: skip
        options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    found = json.loads(options.output.read_text(encoding="utf-8"))
    if options.figure:
        figure(found, options.figure)
    if options.table:
        print(table(found))
    if options.into:
        import tables

        tables.put(options.into, {"entanglement": table(found)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
