"""What a training with chains has learnt after a number of updates, against a loop written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mc.estimators.settings import PCD
from tests.twins import all_states
from tnqbm import SqRBM, Target, Trainer, TrainingSettings, exact
from tnqbm.training import SqRBMProblem

RUNS, UPDATES, BATCH, CHAINS, RATE = 64, 200, 10, 12, 0.05

Float = NDArray[np.float64]


def written_out(model: SqRBM, data: Float, steps: int) -> list[SqRBM]:
    """PCD of RBMs as in textbooks, all runs at once; spins, as data (K, n) are."""
    rng = np.random.default_rng(7)
    n = model.n_visible
    a, b, w = (np.repeat(x[None], RUNS, axis=0) for x in (model.a, model.b[0], model.w[0]))
    v = rng.choice([-1.0, 1.0], (RUNS, CHAINS, n))
    order = np.empty((RUNS, 0), dtype=np.intp)

    def down_with(log_odds: Float) -> Float:
        return np.where(rng.random(log_odds.shape) < 1 / (1 + np.exp(-2 * log_odds)), -1.0, 1.0)

    def averages(s: Float) -> tuple[Float, Float, Float]:
        t = -np.tanh(b[:, None] + s @ w)
        return s.mean(axis=1), t.mean(axis=1), np.swapaxes(s, 1, 2) @ t / s.shape[1]

    for _ in range(UPDATES):
        if order.shape[1] < BATCH:
            fresh = np.stack([rng.permutation(len(data)) for _ in range(RUNS)])
            order = np.concatenate([order, fresh], axis=1)
        of_data = averages(data[order[:, :BATCH]])
        order = order[:, BATCH:]
        for _ in range(steps):
            h = down_with(b[:, None] + v @ w)
            v = down_with(a[:, None] + h @ np.swapaxes(w, 1, 2))
        for x, mean, of_model in zip((a, b, w), of_data, averages(v), strict=True):
            x -= RATE * (mean - of_model)
    return [SqRBM(a[k], b[k : k + 1], w[k : k + 1], "Z") for k in range(RUNS)]


@pytest.mark.parametrize("steps", [1, 5])
def test_pcd_learns_as_a_loop_written_out_does(steps: int) -> None:
    states = all_states(6)
    data = states[np.abs(states.astype(int).sum(axis=1) - 3) == 2]
    target = Target(data, np.full(len(data), 1 / len(data)))
    model = SqRBM.uniform(6, 4, "Z", scale=0.1, seed=3)
    settings = TrainingSettings(
        gradient=PCD(chains=CHAINS, steps=steps),
        optimizer="sgd",
        learning_rate=RATE,
        batch_size=BATCH,
        iterations=UPDATES,
        records=1,
        evaluate="none",
    )
    trainer = Trainer(SqRBMProblem([model] * RUNS, [target] * RUNS), settings)
    trainer.advance(UPDATES)
    ours = [run.model for run in trainer.trajectories()]

    def likelihoods(models: list[SqRBM]) -> Float:
        return np.array(
            [
                target.probabilities @ each.log_weight(target.states) - exact.log_partition(each)
                for each in models
            ]
        )

    found, expected = likelihoods(ours), likelihoods(written_out(model, 1.0 - 2.0 * data, steps))
    error = np.hypot(found.std(), expected.std()) / RUNS**0.5
    start = likelihoods([model])[0]
    assert found.mean() - start > 20 * error
    assert abs(found.mean() - expected.mean()) < 4 * error
