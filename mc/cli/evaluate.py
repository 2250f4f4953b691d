"""``tnqbm evaluate``: exact numbers of a saved model or of one run of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mc.cli import options
from mc.cli.common import print_json, print_lines
from mc.cli.inputs import named_model
from mc.sampling.likelihood import WithError, compare_likelihoods, log_likelihood
from mc.sampling.partition import log_partition
from tnqbm import exact
from tnqbm.core.metrics import on_support
from tnqbm.core.model import SqRBM

if TYPE_CHECKING:
    from tnqbm.datasets import Target
    from tnqbm.hamiltonian.kinds import Model


@click.command()
@options.named_model
@options.data("Compare with this data set.")
@options.data_seed
@options.of_data
@click.option("--against", metavar="MODEL.h5", help="Compare with this saved model on the data.")
@options.as_json
def evaluate(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    against: str | None,
    as_json: bool,
) -> None:
    """Evaluate a model exactly: log Z and, against data, NLL, KL and TVD (in nats).

    The model is one saved with SqRBM.save, or the final model of an archive's run, which is
    compared with the data it was trained on unless --data says otherwise. A run is named by as
    many of its coordinates as it takes. Where the data are samples the NLL has the error of their
    mean. --against gives the gain in log-likelihood per row over another model, of paired
    differences on the same rows, whose error is smaller than those of the two.

    \b
    Examples:
      tnqbm evaluate model.h5 --data bas
      tnqbm evaluate results.h5 --run paulis=XYZ visible=6 hidden=2 data=bas seed=1
      tnqbm evaluate model.h5 --data mine.csv --against other.h5
    """
    named = named_model(path, [*run, *more])
    model = named.any_model
    if isinstance(model, SqRBM):
        exact.check_enumerable(model.n_visible)
    if against is not None and data is None and named.data is None:
        raise click.UsageError("--against compares two models on data; give --data")
    other = None if against is None else named_model(against, []).model
    target = named.target(data, data_seed, prepare)
    result: dict[str, Any] = {
        **named.facts(),
        "parameters": model.n_parameters,
        "log_z": log_partition(model, "exact").value,
    }
    if target is not None:
        result["data"] = data or named.own_source()
        result.update(_compare(model, target, result["log_z"]))
        if other is not None:
            result["against"] = against
            result.update(_gain(model, other, target, result["log_z"]))
    if as_json:
        print_json(result)
        return
    _print(result)


def _compare(model: Model, target: Target, log_z: float) -> dict[str, float]:
    """NLL, KL and TVD from the target's support alone: nothing of size 2**n is needed."""
    log_p = np.asarray(model.log_weight(target.states)) - log_z
    metrics = on_support(log_p, np.asarray(target.probabilities))
    values = {name: float(metrics[name]) for name in ("nll", "kl", "tvd")}
    if target.n_samples is not None:
        exact = WithError(log_z, 0.0)
        values["nll_error"] = log_likelihood(model, target, exact).standard_error
    return values


def _gain(model: Model, other: SqRBM, target: Target, log_z: float) -> dict[str, float]:
    """By how much the model is likelier than another, in nats per row."""
    other_log_z = float(exact.log_partition(other))
    gain = compare_likelihoods(
        model, other, target, WithError(log_z, 0.0), WithError(other_log_z, 0.0)
    )
    return {"gain": gain.value, "gain_error": gain.standard_error}


def _print(result: dict[str, Any]) -> None:
    labels = {
        "model": "file",
        "run": "run",
        "paulis": "paulis",
        "visible": "visible units n",
        "hidden": "hidden units m",
        "parameters": "parameters",
        "log_z": "log Z",
        "data": "data",
        "nll": "negative log-likelihood (nats)",
        "nll_error": "  its standard error",
        "kl": "KL divergence (nats)",
        "tvd": "total variation distance",
        "against": "other model",
        "gain": "log-likelihood gained (nats)",
        "gain_error": "  its standard error",
    }
    if result["run"]:
        result["run"] = ", ".join(f"{name}={entry}" for name, entry in result["run"].items())
    print_lines(
        {
            label: f"{value:.12g}" if isinstance(value, float) else value
            for key, label in labels.items()
            if (value := result.get(key)) is not None
        }
    )
