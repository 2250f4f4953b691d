"""Trees, programs and forecasts."""

import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from tnqbm import SqRBM
from tnqbm.core import connectivity
from tnqbm.kernels.sphere import nodes
from tnqbm.networks import Contraction
from tnqbm.networks.compiled.program import compile_tree
from tnqbm.networks.contraction.plan import TooLarge
from tnqbm.networks.contraction.shape import gather_leaves
from tnqbm.networks.contraction.trees import elimination_tree, improved_tree, next_slice, quick_tree
from tnqbm.networks.factors import Factors, quadrature_degree


def lattice_scopes(side):
    factors = Factors(connectivity.lattice(side, side), 3)
    return gather_leaves(factors).scopes, factors.dims


def test_leaves_absorb_what_they_contain():
    mask = np.zeros((5, 4), dtype=bool)
    mask[:3, 0] = mask[1:3, 1] = mask[3, 2] = True  # the last hidden unit is free
    factors = Factors(mask, 2)
    leaves = gather_leaves(factors)
    assert set(leaves.scopes) == {(0, 1, 2), (3,), (4,)}
    with_output = gather_leaves(Factors(mask, 2, output=(0, 4)))
    assert (0, 4) in with_output.scopes
    assert (4,) not in with_output.scopes


def test_trees_are_deterministic_and_complete():
    scopes, dims = lattice_scopes(6)
    positions = list(range(len(dims)))
    first = quick_tree(scopes, dims, positions)
    better = improved_tree(scopes, dims, first, seed=3)
    assert better == improved_tree(scopes, dims, first, seed=3)
    for tree in (first, better, elimination_tree(scopes, dims, [])):
        used = [k for pair in tree for k in pair]
        assert len(used) == len(set(used)) == 2 * (len(scopes) - 1)
        assert max(used) == 2 * len(scopes) - 3


def test_tree_of_parts_that_do_not_touch():
    scopes = [(0, 1), (1, 2), (), (3,), (4, 5), (5, 6), (5, 4)]
    tree = improved_tree(scopes, [2] * 7, elimination_tree(scopes, [2] * 7, range(7)), seed=0)
    used = sorted(k for pair in tree for k in pair)
    assert used == list(range(2 * len(scopes) - 2))


def test_program_checkpoints():
    """Less memory for more operations, down to a limit."""
    scopes, dims = lattice_scopes(10)
    tree = quick_tree(scopes, dims, list(range(len(dims))))
    full = compile_tree(scopes, dims, tree, gradients=True)
    small = compile_tree(scopes, dims, tree, gradients=True, max_elements=full.arena * 0.5)
    assert small.arena <= 0.5 * full.arena
    assert full.multiply_adds < small.multiply_adds < 1.5 * full.multiply_adds
    forward = compile_tree(scopes, dims, tree, gradients=False)
    assert forward.arena < small.arena
    assert forward.multiply_adds == pytest.approx(full.multiply_adds / 3, rel=0.05)
    with pytest.raises(TooLarge):
        compile_tree(scopes, dims, tree, gradients=True, max_elements=forward.arena / 2)


def test_next_slice_takes_a_variable_of_a_largest_tensor():
    scopes, dims = lattice_scopes(6)
    tree = quick_tree(scopes, dims, list(range(len(dims))))
    first = next_slice(scopes, dims, tree, [])
    assert first is not None
    second = next_slice(scopes, dims, tree, [first])
    assert second not in (None, first)


@pytest.mark.parametrize("n_paulis", [2, 3])
@pytest.mark.parametrize("field", [0.1, 1.0, 5.0, 20.0, 80.0])
def test_quadrature_degree(n_paulis, field):
    """Accurate for all fields up to the largest, and not far beyond: a degree, not a margin."""
    d, weights = nodes(quadrature_degree(field), n_paulis)
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(n_paulis, 300))
    phi *= field * np.append(rng.random(150), np.ones(150)) / np.linalg.norm(phi, axis=0)
    r = np.linalg.norm(phi, axis=0)

    def error(scale):
        x, top = d @ phi * scale, r * scale
        cosh = np.sum(weights[:, None] * (1.0 + x) * np.exp(x - top), axis=0)
        return np.abs(cosh / (0.5 + 0.5 * np.exp(-2.0 * top)) - 1.0).max()

    assert error(1.0) < 1e-13
    assert error(8.0) > 1e-12


@pytest.mark.parametrize(
    ("mask", "paulis"),
    [
        (connectivity.line(400, 4), "XYZ"),
        (connectivity.lattice(14, 14), "XZ"),
        (np.ones((16, 12), dtype=bool), "XYZ"),
    ],
    ids=["line", "lattice", "dense"],
)
def test_forecast_of_memory(mask, paulis):
    """What is held at once, by NumPy's own account, within a factor of two."""
    model = SqRBM.uniform(*mask.shape, paulis, scale=0.3, seed=0, mask=mask)
    contraction = Contraction.of(model)
    contraction.moments(model)
    tracemalloc.start()
    contraction.moments(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 < peak / contraction.forecast.bytes < 1.1


def test_forecast_of_time():
    """Loosely: within a factor of ten on whatever machine this is."""
    mask = connectivity.lattice(14, 14)
    model = SqRBM.uniform(196, 169, "XYZ", scale=0.3, seed=0, mask=mask)
    contraction = Contraction.of(model)
    contraction.moments(model)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        contraction.moments(model)
        best = min(best, time.process_time() - start)
    assert 0.1 < best / contraction.forecast.seconds < 10.0
    assert "multiply-adds" in str(contraction.forecast)


def test_resident_memory():
    """The process grows by what the forecast says, not by more."""
    code = (
        "import resource\n"
        "from tnqbm import SqRBM\n"
        "from tnqbm.core import connectivity\n"
        "from tnqbm.networks import Contraction\n"
        "from tnqbm.networks.contraction import plan as plans\n"
        "plans.SEARCH_FROM = 1e99\n"
        "small = connectivity.lattice(4, 4)\n"
        "large = connectivity.lattice(15, 15)\n"
        "for mask in (small, large):\n"
        "    model = SqRBM.uniform(*mask.shape, 'Z', scale=0.3, seed=0, mask=mask)\n"
        "    plan = Contraction.of(model)\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    plan.moments(model)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(1024 * (after - before), plan.forecast.bytes)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, forecast = (float(word) for word in done.stdout.split())
    assert grown < 1.5 * forecast + 2e7


def test_import_of_networks_is_light():
    code = "import sys, tnqbm.networks.contraction.contraction; print('quimb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
