"""Which rows an update averages over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tnqbm.base.teams import Alone
from tnqbm.training.minibatches import Minibatches, epoch_rows


class Member(Alone):
    """One of several processes, as far as shares are concerned."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def uniform(count: int, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    states = ((np.arange(count)[:, None] >> np.arange(n)) & 1).astype(np.uint8)
    return states[None], np.full((1, count), 1.0 / count)


def keys(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.uint64)


@given(st.integers(1, 60), st.data())
@settings(max_examples=40, deadline=None)
def test_every_epoch_has_every_row_once(count: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, count))
    batches = Minibatches(*uniform(count), keys(2), size, Alone())
    updates = 3 * count // size + 1
    for run in range(2):
        drawn = np.concatenate([batches.rows(run, update) for update in range(updates)])
        epochs = drawn[: drawn.size // count * count].reshape(-1, count)
        assert epochs.shape[0] >= 3
        assert np.array_equal(np.sort(epochs, axis=1), np.tile(np.arange(count), (len(epochs), 1)))


def test_epochs_and_runs_are_shuffled_differently() -> None:
    batches = Minibatches(*uniform(100), keys(3), 100, Alone())
    orders = [batches.rows(run, update) for run in range(3) for update in range(3)]
    assert len({order.tobytes() for order in orders}) == 9
    assert not any(np.array_equal(order, np.arange(100)) for order in orders)


def test_an_update_can_be_asked_for_in_any_order() -> None:
    one, two = (Minibatches(*uniform(50), keys(1), 20, Alone()) for _ in range(2))
    forwards = [one.rows(0, update) for update in range(9)]
    backwards = [two.rows(0, update) for update in reversed(range(9))]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_orders_are_uniform() -> None:
    """All 24 orders of four rows equally often: chi-squared, false alarm 1e-6."""
    from scipy.stats import chi2

    batches = Minibatches(*uniform(4), keys(1), 4, Alone())
    count = 4800
    seen: dict[bytes, int] = {}
    for update in range(count):
        order = batches.rows(0, update).tobytes()
        seen[order] = seen.get(order, 0) + 1
    expected = count / 24
    statistic = sum((found - expected) ** 2 / expected for found in seen.values())
    assert len(seen) == 24
    assert statistic < chi2.isf(1e-6, 23)


def test_shares_of_a_team_make_up_the_minibatch() -> None:
    for q in (uniform(700)[1], np.linspace(1, 2.5, 700)[None] / np.linspace(1, 2.5, 700).sum()):
        states = uniform(700)[0]
        whole = Minibatches(states, q, keys(2), 300, Alone())
        for size in (2, 3, 7):
            team = [Minibatches(states, q, keys(2), 300, Member(k, size)) for k in range(size)]
            runs = np.arange(2)
            for update in (0, 1, 2, 5):
                parts = [member.draw(runs, update) for member in team]
                assert np.array_equal(np.concatenate(parts, axis=1), whole.draw(runs, update))


def test_repeats_belong_to_the_rows() -> None:
    q = np.array([1, 3, 2]) / 6
    assert epoch_rows(q).tolist() == [0, 1, 1, 1, 2, 2]
    states = np.eye(3, dtype=np.uint8)[None]
    batches = Minibatches(states, q[None], keys(1), 6, Alone())
    for update in range(5):
        assert np.bincount(batches.rows(0, update)).tolist() == [1, 3, 2]
    samples = np.random.default_rng(0).integers(0, 50, 1797)
    counts = np.bincount(np.concatenate([samples, [50]]))
    assert np.array_equal(np.bincount(epoch_rows(counts / counts.sum())), counts)


def test_other_distributions_are_drawn_from_independently() -> None:
    """Frequencies against q: chi-squared, false alarm 1e-6; a wrong q is noticed."""
    from scipy.stats import chi2

    q = np.random.default_rng(3).dirichlet(np.ones(8))
    assert epoch_rows(q) is None
    states = uniform(8)[0]
    batches = Minibatches(states, q[None], keys(1), 500, Alone())
    counts = sum(np.bincount(batches.rows(0, update), minlength=8) for update in range(40))
    total = counts.sum()
    assert total == 20_000

    def statistic(p: np.ndarray) -> float:
        return float(((counts - total * p) ** 2 / (total * p)).sum())

    assert statistic(q) < chi2.isf(1e-6, 7) < statistic(np.full(8, 1 / 8))


def test_each_run_has_its_own_data() -> None:
    states = np.stack([np.zeros((4, 3), np.uint8), np.ones((4, 3), np.uint8)])
    batches = Minibatches(states, np.full((2, 4), 0.25), keys(2), 3, Alone())
    drawn = batches.draw(np.array([1, 0]), 0)
    assert drawn[0].all()
    assert not drawn[1].any()


def test_a_minibatch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch_size: 6 is more than the 5 rows"):
        Minibatches(*uniform(5), keys(1), 6, Alone())
