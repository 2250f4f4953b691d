import numpy as np
import pytest

from tnqbm.core import metrics


def test_known_values():
    q, p = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    assert metrics.kl_divergence(q, p) == pytest.approx(0.5 * np.log(2))
    assert metrics.total_variation(q, p) == pytest.approx(0.25)
    assert metrics.negative_log_likelihood(q, p) == pytest.approx(1.5 * np.log(2))
    assert metrics.kl_divergence(q, q) == 0.0


def test_missing_support_is_infinitely_far():
    assert metrics.kl_divergence([0.5, 0.5], [1.0, 0.0]) == np.inf


def test_on_support_agrees_with_the_dense_metrics():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(16))
    q = np.zeros(16)
    q[[2, 5, 7]] = [0.2, 0.3, 0.5]
    on = np.flatnonzero(q)
    result = metrics.on_support(np.log(p[on]), q[on])
    assert result["tvd"] == pytest.approx(metrics.total_variation(q, p), rel=1e-12)
    assert result["kl"] == pytest.approx(metrics.kl_divergence(q, p), rel=1e-12)
    assert result["nll"] == pytest.approx(metrics.negative_log_likelihood(q, p), rel=1e-12)


@pytest.mark.parametrize(
    ("q", "p", "message"),
    [([0.5, 0.5], [1.0], "shape"), ([0.5, 0.6], [0.5, 0.5], "sum to 1"), ([-1, 2], [0, 1], "q")],
)
def test_bad_input(q, p, message):
    with pytest.raises(ValueError, match=message):
        metrics.total_variation(q, p)


def test_a_log_z_that_is_too_small_is_not_hidden():
    """The likelihood is then above what any distribution can reach: a KL below 0."""
    q = np.array([0.2, 0.3, 0.5])
    right = metrics.on_support(np.log(q), q)
    assert right["kl"] == pytest.approx(0.0, abs=1e-15)
    found = metrics.on_support(np.log(q) + 2.0, q)
    assert found["kl"] == pytest.approx(-2.0)
    assert found["nll"] == pytest.approx(right["nll"] - 2.0)
    assert 0 <= found["tvd"] <= 1  # whatever p is: it alone shows nothing
