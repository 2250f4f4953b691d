"""``tnqbm model``: saved models compared, brought into a normal form, made smaller or larger."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import PATH, echo, number, print_json, print_lines
from mc.cli.inputs import named_model
from mc.cli.model_files import export_model, import_model
from mc.sampling.policies import Chains
from mc.sampling.sample import sample
from tnqbm.files.outputs import MODEL, check_output
from tnqbm.model_tools import gauge, merging, pruning
from tnqbm.model_tools.equivalence import equivalent
from tnqbm.model_tools.hidden_units import lift, lower
from tnqbm.model_tools.reweighting import MAX_LISTED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tnqbm.core.model import SqRBM


Command = Callable[..., Any]


@click.group(context_settings={"show_default": True})
def model() -> None:
    """Compare, prune, merge and rewrite models.

    A model is one saved with SqRBM.save, or the final model of an archive's run, named by as many
    of the run's coordinates as it takes. Results go to new files; models are never changed in
    place. Models of other programs come in by import and go out by export.

    \b
    Examples:
      tnqbm model compare a.h5 b.h5
      tnqbm model prune model.h5 --keep 10 -o smaller.h5
      tnqbm model canonical results.h5 --run paulis=XYZ hidden=2 data=bas seed=1 -o model.h5
      tnqbm model import rbm.pt -o model.h5
    """


model.add_command(import_model)
model.add_command(export_model)


def _rewriting(command: Callable[..., tuple[SqRBM, dict[str, Any]]]) -> Command:
    """A command that takes a model, named by its path and --run, and writes a new one.

    ``command`` is called with the model and its own options; it returns the new model and a report.
    """

    @wraps(command)
    def read_and_write(
        path: str,
        more: tuple[str, ...],
        run: tuple[str, ...],
        out: str,
        as_json: bool,
        **settings: Any,
    ) -> None:
        check_output(out, MODEL, inputs=[path])
        new, report = command(named_model(path, [*run, *more]).model, **settings)
        new.save(out)
        _print(new, out, path, report, as_json)

    output = click.option(
        "-o", "--output", "out", type=PATH, required=True, metavar="NEW.h5", help="Where to."
    )
    return output(options.named_model(options.as_json(read_and_write)))


def _sampling(command: Command) -> Command:
    samples = click.option(
        "--samples",
        default=20_000,
        help="Drawn from the model by Markov chains, above 16 visible units.",
    )
    return samples(options.seed("Of the samples.")(command))


@model.command()
@click.argument("first", type=PATH, metavar="A.h5")
@click.argument("second", type=PATH, metavar="B.h5")
@click.option("--run", "run", multiple=True, metavar="KEY=VALUE", help="Which run of archive A.")
@click.option("--other-run", multiple=True, metavar="KEY=VALUE", help="Which run of archive B.")
@click.option("--tolerance", default=1e-9, help="Of log p(v).")
@click.option(
    "--method",
    type=click.Choice(["auto", "parameters", "distribution", "expansion", "states"]),
    default="auto",
    help="How to compare.",
)
@options.as_json
def compare(
    first: str,
    second: str,
    run: tuple[str, ...],
    other_run: tuple[str, ...],
    tolerance: float,
    method: str,
    as_json: bool,
) -> None:
    """Say whether two models have the same distribution p(v), and why.

    The exit code is 0 whatever the verdict. Models whose parameters differ only by turns of Pauli
    axes, the order of hidden units, or units without effect are recognised for any size; others
    are compared at all states up to 20 visible units, and by exact expansion or at random states
    above.

    \b
    Examples:
      tnqbm model compare a.h5 b.h5
      tnqbm model compare results.h5 model.h5 --run seed=1,paulis=XZ,hidden=2 --json
    """
    models = named_model(first, run).model, named_model(second, other_run).model
    comparison = equivalent(*models, tolerance=tolerance, method=method)
    if as_json:
        print_json({"models": [first, second], **comparison.as_dict()})
        return
    echo(comparison.verdict)
    for reason in comparison.reasons:
        echo(f"  {reason}")
    if comparison.tvd is not None:
        _print_facts(
            {
                "total variation distance": comparison.tvd,
                "KL of B from A (nats)": comparison.kl,
                "KL of A from B (nats)": comparison.reverse_kl,
            }
        )


@model.command()
@click.option("--proper", is_flag=True, help="Only turns that are unitary on the qubits.")
@_rewriting
def canonical(source: SqRBM, *, proper: bool) -> tuple[SqRBM, dict[str, Any]]:
    """Write the normal form: Pauli axes rotated and hidden units ordered uniquely.

    p(v) and log Z do not change. Two models that differ only in axes and order get the same form.

    \b
    Example:
      tnqbm model canonical model.h5 -o canonical.h5
    """
    return gauge.canonical(source, proper=proper), {
        "ranks": gauge.ranks(source).tolist(),
        "redundant": gauge.redundant_dimensions(source),
        "effective_parameters": gauge.effective_parameters(source),
    }


@model.command()
@click.argument("paulis")
@click.option("--noise", default=0.0, help="Size of new rows.")
@options.seed("Of the noise.")
@_rewriting
def convert(source: SqRBM, *, paulis: str, noise: float, seed: int) -> tuple[SqRBM, dict[str, Any]]:
    """Write the same distribution with another set of PAULIS, more or fewer.

    More: rows of zeros are added, and p(v) stays. Training never leaves them, as their gradient
    is 0; --noise gives it a direction. Fewer: only if the model does not need them all.

    \b
    Examples:
      tnqbm model convert XYZ rbm.h5 -o sqrbm.h5 --noise 0.01
      tnqbm model convert Z lifted.h5 -o rbm.h5
    """
    if set(source.paulis) <= set(paulis):
        return lift(source, paulis, noise=noise, seed=seed), {}
    if noise:
        raise click.UsageError("--noise is for more Paulis, and these are not more")
    return lower(source, paulis), {}


@model.command()
@click.option("--keep", type=int, help="Stop at this many hidden units.")
@click.option("--tolerance", type=float, help="Stop before KL exceeds this many nats.")
@click.option("--no-absorb", is_flag=True, help="Do not shift the visible fields in exchange.")
@click.option(
    "--method",
    type=click.Choice(["auto", "exact", "samples", "bound"]),
    default="auto",
    help="Where the cost comes from; auto: all states up to n = 16, samples above.",
)
@_sampling
@_rewriting
def prune(
    source: SqRBM,
    *,
    keep: int | None,
    tolerance: float | None,
    no_absorb: bool,
    method: str,
    samples: int,
    seed: int,
) -> tuple[SqRBM, dict[str, Any]]:
    """Remove the hidden units that contribute least to p(v).

    The part of a unit that is linear in the spins moves into the visible fields. The cost is
    KL(p || p') of the pruned p' from the original p.

    \b
    Examples:
      tnqbm model prune model.h5 --keep 10 -o smaller.h5
      tnqbm model prune model.h5 --tolerance 0.001 -o smaller.h5 --json
    """
    drawn = None
    if method == "samples" or (method == "auto" and source.n_visible > MAX_LISTED):
        drawn = _samples(source, samples, seed)
    pruned = pruning.prune(
        source,
        keep=keep,
        tolerance=tolerance,
        samples=drawn,
        absorb=not no_absorb,
        method=method,
    )
    return pruned.model, pruned.as_dict()


@model.command()
@click.option("--tolerance", type=float, help="Also by fits, up to this KL in nats.")
@click.option("--pair", "pairs", multiple=True, metavar="J,K", help="Merge these two hidden units.")
@_sampling
@_rewriting
def merge(
    source: SqRBM, *, tolerance: float | None, pairs: tuple[str, ...], samples: int, seed: int
) -> tuple[SqRBM, dict[str, Any]]:
    """Merge hidden units: by exact rules, and by fits if --pair or --tolerance asks for them.

    \b
    Examples:
      tnqbm model merge model.h5 -o smaller.h5
      tnqbm model merge model.h5 --pair 0,3 --pair 1,2 -o smaller.h5
    """
    chosen = [_pair(text) for text in pairs] or None
    drawn = None
    fits = chosen is not None or tolerance is not None
    if fits and source.n_visible > MAX_LISTED:
        drawn = _samples(source, samples, seed)
    merged = merging.merge(source, chosen, tolerance=tolerance, samples=drawn)
    return merged.model, merged.as_dict()


def _pair(text: str) -> tuple[int, int]:
    try:
        j, k = (int(word) for word in text.split(","))
    except ValueError:
        raise click.UsageError(f"--pair needs two hidden units such as 0,3, got {text!r}") from None
    return j, k


def _samples(source: SqRBM, count: int, seed: int) -> NDArray[np.uint8]:
    """Samples (chains, K, n) of the model, some ``count`` in all."""
    chains = min(100, max(2, count // 20))
    return sample(source, max(1, count // chains), Chains(chains=chains), seed=seed)[0]


def _print(new: SqRBM, out: str, path: str, report: dict[str, Any], as_json: bool) -> None:
    facts = {
        "model": path,
        "output": out,
        "paulis": new.paulis,
        "visible": new.n_visible,
        "hidden": new.n_hidden,
        "parameters": new.n_parameters,
        **report,
    }
    if as_json:
        print_json(facts)
        return
    _print_facts(
        {
            "written to": out,
            "paulis": new.paulis,
            "visible units n": new.n_visible,
            "hidden units m": new.n_hidden,
            "parameters": new.n_parameters,
            "of them not redundant": report.get("effective_parameters"),
            "removed units (from 0)": ", ".join(map(str, report.get("removed", []))) or None,
            "merged units": _groups(report.get("groups", [])),
            "KL divergence (nats)": report.get("divergence"),
            "its standard error": report.get("standard_error") or None,
            "from": report.get("method"),
        }
    )


def _groups(groups: list[list[int]]) -> str | None:
    return "; ".join(", ".join(map(str, group)) for group in groups if len(group) > 1) or None


def _print_facts(values: dict[str, Any]) -> None:
    """Lines of facts, numbers to six digits."""
    texts = {k: number(v, 6) if isinstance(v, float) else v for k, v in values.items()}
    print_lines(texts)
