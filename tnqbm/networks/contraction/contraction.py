"""Exact evaluation of locally connected sqRBMs by contraction of their factor graph."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import check_choice, is_whole
from tnqbm.base.limits import available_bytes
from tnqbm.core import streams
from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.core.moments import Moments
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.networks.compiled.engine import PerfectSampler
from tnqbm.networks.contraction.engines import engine_maker
from tnqbm.networks.contraction.plan import (
    ContractionForecast,
    Plan,
    TooLarge,
    make_plan,
    wide_units,
)
from tnqbm.networks.contraction.sweep import Engine, Entries, evaluate, factors_of, sweep
from tnqbm.networks.factors import Member, Scope, largest_field

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]
Mask = NDArray[np.bool_]

FIELD_LEVELS = 1.5
"""Quadratures are planned for largest fields 1, 1.5, 1.5^2, ...: a plan for each level in use."""

MOST_PLANS = 12

AT_ONCE = 0.2
"""Seconds up to which a marginal is found by clamping, without a plan of its own."""


class Contraction:
    """Contraction of the factor graphs of sqRBMs with the same couplings: planned once, run often.

    The cost is set by the treewidth of the couplings, not by the number of visible units: linear in
    n for lines and rings, exponential in the shorter side of a lattice.

    Parameters
    ----------
    mask : (n, m) bool, which visible units each hidden qubit touches.
    n_paulis : number of Paulis P of the models.
    engine : what does the arithmetic. "quimb": quimb and cotengra contract the network;
        "compiled": Numba kernels run a program made of the same tree; "auto": the one with the
        lower forecast. They agree to rounding. "quimb" raises ArithmeticError where numbers leave
        the range of doubles; the others go over to logarithms.
    max_bytes : most memory to be held at once; by default half of what is free. Under different
        limits a contraction may be sliced differently, and the last digits differ.
    max_operations : most multiply-adds.
    max_field : largest |Phi_j| of hidden units with many neighbours in the models to come. Where
        they are split by quadrature, its degree follows from the model at hand, in steps; this is
        for the first plan and its forecast only.
    seed : of the search for a contraction tree.

    Raises ValueError or MemoryError, with a forecast and advice, for what will not fit.
    """

    def __init__(
        self,
        mask: ArrayLike,
        n_paulis: int,
        *,
        engine: str = "auto",
        max_bytes: float | None = None,
        max_operations: float = 1e13,
        max_field: float = 10.0,
        seed: int = 0,
    ) -> None:
        checked = np.asarray(mask)
        if checked.ndim != 2 or checked.dtype != np.bool_ or checked.shape[0] < 1:
            raise ValueError(
                f"mask must be a boolean array (n, m) with n >= 1, got {checked.dtype} "
                f"{checked.shape}"
            )
        if n_paulis not in (1, 2, 3):
            raise ValueError(f"n_paulis must be 1, 2 or 3, got {n_paulis!r}")
        for name, value in (("max_operations", max_operations), ("max_field", max_field)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if max_bytes is None:
            max_bytes = (available_bytes() or 8 << 30) / 2
        self.mask: Mask = checked.copy()
        self.mask.flags.writeable = False
        self.n_paulis = n_paulis
        self._wide = wide_units(self.mask, n_paulis)
        self._options: dict[str, Any] = {
            "max_bytes": float(max_bytes),
            "max_operations": float(max_operations),
            "seed": int(seed),
        }
        self._make_engine = engine_maker(engine)
        self._engines: OrderedDict[tuple[int, Scope], Engine] = OrderedDict()
        self._first = self._engine_for(self._level(max_field))

    @classmethod
    def of(cls, model: SqRBM, **options: Any) -> Contraction:
        """A plan for the couplings of ``model``: its mask, or those that are not zero."""
        mask = coupling_mask(model)
        if "max_field" not in options:
            wide = wide_units(mask, len(model.paulis))
            options["max_field"] = max(1.0, largest_field(model, mask, wide))
        return cls(mask, len(model.paulis), **options)

    @property
    def forecast(self) -> ContractionForecast:
        """Cost of log Z with all moments of coupled pairs."""
        return self._first.forecast()

    # ------------------------------------------------------------------ plans and their engines

    def _level(self, field: float) -> int:
        """Which step of largest fields to plan for; always the same where nothing can be split."""
        if not self._wide or self.n_paulis == 1:
            return 0
        return max(0, math.ceil(math.log(field, FIELD_LEVELS) - 1e-9)) if field > 0 else 0

    def _engine_for(self, level: int, output: Scope = ()) -> Engine:
        key = level, output
        if key not in self._engines:
            self._engines[key] = make_plan(
                self.mask,
                self.n_paulis,
                self._make_engine,
                max_field=FIELD_LEVELS**level,
                output=output,
                **self._options,
            )
            if len(self._engines) > MOST_PLANS:
                self._engines.popitem(last=False)
        self._engines.move_to_end(key)
        return self._engines[key]

    def _level_of(self, model: SqRBM) -> int:
        """The step that suits ``model``, after checking that the plan is one for its couplings."""
        n, m = self.mask.shape
        if model.shape != (n, m, self.n_paulis):
            raise ValueError(
                f"the contraction was planned for n = {n}, m = {m} and {self.n_paulis} Paulis, the "
                f"model has n = {model.n_visible}, m = {model.n_hidden} and {len(model.paulis)}"
            )
        outside = np.any(model.w != 0.0, axis=0) & ~self.mask
        if outside.any():
            i, j = (int(k) for k in np.argwhere(outside)[0])
            raise ValueError(
                f"visible unit {i} and hidden unit {j} are coupled in the model, but not in the "
                "mask that the contraction was planned for"
            )
        return self._level(largest_field(model, self.mask, self._wide))

    def _engine(self, model: SqRBM) -> Engine:
        return self._engine_for(self._level_of(model))

    # ------------------------------------------------------------------ log Z and moments

    def log_partition(self, model: SqRBM, *, clamp: Mapping[int, int] | None = None) -> float:
        """log Z = log Tr exp(-H), factor 2**m of the hidden trace included.

        With ``clamp`` {visible unit: bit} the sum is over visible states with these bits, so that
        the difference is the logarithm of their probability.
        """
        engine = self._engine(model)
        entries = evaluate(engine.plan, model, _checked_clamp(clamp, model.n_visible))
        return sweep(engine, entries, gradients=False).log_partition

    def moments(
        self,
        model: SqRBM,
        *,
        pairs: Literal["coupled", "all"] = "coupled",
        clamp: Mapping[int, int] | None = None,
    ) -> Moments:
        """<Z_i>, <sigma_j^P>, <Z_i sigma_j^P> in the Gibbs state.

        ``pairs="coupled"`` finds <Z_i sigma_j^P> of coupled pairs, which is what training needs,
        and puts nan elsewhere; ``"all"`` finds it for all pairs, at about n times the cost.
        ``clamp`` {visible unit: bit} asks for averages given these bits.
        """
        return self.log_partition_and_moments(model, pairs=pairs, clamp=clamp)[1]

    def log_partition_and_moments(
        self,
        model: SqRBM,
        *,
        pairs: Literal["coupled", "all"] = "coupled",
        clamp: Mapping[int, int] | None = None,
    ) -> tuple[float, Moments]:
        """log Z and the moments from one sweep; see :meth:`log_partition` and :meth:`moments`."""
        check_choice("pairs", pairs, ("coupled", "all"))
        engine = self._engine(model)
        clamp = _checked_clamp(clamp, model.n_visible)
        log_z, moments = _moments(engine, model, evaluate(engine.plan, model, clamp))
        if pairs == "all":
            self._complete(engine, model, clamp, log_z, moments)
        return log_z, moments

    def _complete(
        self,
        engine: Engine,
        model: SqRBM,
        clamp: Mapping[int, int],
        log_z: float,
        moments: Moments,
    ) -> None:
        """Fill in <Z_i sigma_j^P> of pairs that are not coupled.

        With p = P(s_i = s), it is s (2 p <sigma_j>_{s_i = s} - <sigma_j>).
        """
        for i in np.flatnonzero(~self.mask.all(axis=1)).tolist():
            apart = ~self.mask[i]
            bit = int(moments.z[i] < 0)  # the likelier value: its probability cannot vanish
            if i in clamp:
                every = moments.sigma.copy()
            else:
                entries = evaluate(engine.plan, model, {**clamp, i: bit})
                log_c, given = _moments(engine, model, entries)
                every = 2.0 * math.exp(log_c - log_z) * given.sigma - moments.sigma
            moments.zsigma[:, i, apart] = every[:, apart] * (1 - 2 * bit)

    # ------------------------------------------------------------------ marginals

    def marginal(
        self, model: SqRBM, units: Sequence[int], *, clamp: Mapping[int, int] | None = None
    ) -> Float:
        """Joint probabilities of visible units, (2,) * len(units), axis k for ``units[k]``.

        ``clamp`` {visible unit: bit} asks for probabilities given these bits. Found from one
        contraction that keeps the units' joint distribution, or from 2^len(units) that clamp them.
        """
        chosen = _checked_units(units, model.n_visible, "visible")
        clamp = _checked_clamp(clamp, model.n_visible)
        if not chosen:
            return np.ones(())
        level = self._level_of(model)
        engine = self._engine_for(level)
        scope = tuple(sorted(chosen))
        if _holder(engine.plan, scope) is None:
            cost = engine.forecast(gradients=False).seconds * 2 ** len(chosen)
            try:
                joint_engine = None if cost < AT_ONCE else self._engine_for(level, scope)
            except (MemoryError, ValueError):
                joint_engine = None
            if joint_engine is None or joint_engine.forecast().seconds > cost:
                return self._clamped_marginal(engine, model, chosen, clamp)
            engine = joint_engine
        plan = engine.plan
        shares = sweep(engine, evaluate(plan, model, clamp), gradients=True).shares
        member = _holder(plan, scope)
        assert shares is not None
        assert member is not None
        axes = member.scope
        joint = shares[member.offset :][: 2 ** len(axes)].reshape((2,) * len(axes))
        joint = joint.sum(axis=tuple(k for k, v in enumerate(axes) if v not in scope))
        left = [v for v in axes if v in scope]
        result = np.maximum(joint.transpose([left.index(v) for v in chosen]), 0.0)
        return np.ascontiguousarray(result / result.sum())

    def _clamped_marginal(
        self, engine: Engine, model: SqRBM, units: list[int], clamp: Mapping[int, int]
    ) -> Float:
        logs = np.full((2,) * len(units), -np.inf)
        for bits in itertools.product((0, 1), repeat=len(units)):
            fixed = dict(zip(units, bits, strict=True))
            if any(fixed.get(unit, bit) != bit for unit, bit in clamp.items()):
                continue
            entries = evaluate(engine.plan, model, {**clamp, **fixed})
            logs[bits] = sweep(engine, entries, gradients=False).log_partition
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    # ------------------------------------------------------------------ samples

    def sample(
        self,
        model: SqRBM,
        samples: int,
        *,
        seed: int | np.random.SeedSequence | np.random.Generator,
        clamp: Mapping[int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """Independent visible states (K, n) from p(v), or from p(v | clamp); no Markov chain.

        The program of the compiled engine finds the weights, whatever ``engine`` is. Raises
        ValueError where a hidden unit is split by quadrature, whose terms are no probabilities, and
        MemoryError where the contraction fits only with checkpoints or slices.
        """
        if not is_whole(samples) or samples < 0:
            raise ValueError(f"samples must be a whole number >= 0, got {samples!r}")
        plan = self._engine(model).plan
        entries = evaluate(plan, model, _checked_clamp(clamp, model.n_visible))
        if factors_of(plan).signed:
            raise ValueError(
                "a hidden unit with many neighbours is split by quadrature, and perfect sampling "
                "needs probabilities; use mc.sample for this model"
            )
        try:
            sampler = PerfectSampler(plan)
        except TooLarge:
            raise MemoryError(
                "perfect sampling keeps all tensors of the contraction, which do not fit into "
                f"max_bytes = {plan.max_bytes / 1e9:.3g} GB; raise it, or use mc.sample"
            ) from None
        return sampler.sample(entries, int(samples), streams.generator(seed))

    # ------------------------------------------------------------------ hidden qubits

    def hidden_state(
        self, model: SqRBM, hidden: Sequence[int], *, clamp: Mapping[int, int] | None = None
    ) -> Complex:
        """Reduced density matrix of one or two hidden qubits, (2^h, 2^h), the first one leftmost.

        Given v the qubits are independent, so this is the average of products of their thermal
        states. ``clamp`` {visible unit: bit} conditions on bits of visible units.
        """
        chosen = _checked_units(hidden, model.n_hidden, "hidden")
        if len(chosen) not in (1, 2):
            raise ValueError(f"hidden_state takes one or two hidden units, got {len(chosen)}")
        engine = self._engine(model)
        base = evaluate(engine.plan, model, _checked_clamp(clamp, model.n_visible))
        log_z, moments = _moments(engine, model, base)
        paulis = [PAULI_MATRICES[letter] for letter in model.paulis]
        alone = [_one_qubit(moments.sigma[:, j], paulis) for j in chosen]
        if len(chosen) == 1:
            return alone[0]
        # rho_jk = rho_j (x) rho_k + sum (<s_j s_k> - <s_j> <s_k>) sigma (x) sigma / 4
        j, k = chosen
        state: Complex = np.kron(alone[0], alone[1]).astype(np.complex128)
        if not (self.mask[:, j].any() and self.mask[:, k].any()):
            return state
        for p, left in enumerate(paulis):
            mean = moments.sigma[p, j]
            sign = 1 if mean >= 0 else -1  # (1 + sign sigma) / 2 has an average of 1/2 at least
            entries = Entries(*factors_of(engine.plan).weighted(model, base, j, p, sign))
            log_p, given = _moments(engine, model, entries)
            together = sign * (
                2.0 * math.exp(log_p - log_z) * given.sigma[:, k] - moments.sigma[:, k]
            )
            for q, right in enumerate(paulis):
                excess = together[q] - mean * moments.sigma[q, k]
                state += 0.25 * excess * np.kron(left, right)
        return state


def _moments(engine: Engine, model: SqRBM, entries: Entries) -> tuple[float, Moments]:
    log_z, shares = sweep(engine, entries, gradients=True)
    assert shares is not None
    return log_z, factors_of(engine.plan).moments(model, shares)


def _holder(plan: Plan, scope: Scope) -> Member | None:
    """The smallest positive tensor that has all these visible units, and no other variables."""
    n = plan.factors.n
    fitting = [
        member
        for member in plan.factors.members
        if set(scope) <= set(member.scope) and not member.signed and max(member.scope) < n
    ]
    return min(fitting, key=lambda member: len(member.scope), default=None)


def _one_qubit(bloch: Float, paulis: list[Complex]) -> Complex:
    state = PAULI_MATRICES["I"] + sum(x * matrix for x, matrix in zip(bloch, paulis, strict=True))
    return np.asarray(0.5 * state, dtype=np.complex128)


def _checked_units(units: Sequence[int], count: int, kind: str) -> list[int]:
    chosen = []
    for unit in np.atleast_1d(np.asarray(units, dtype=object)).tolist():
        if not is_whole(unit):
            raise TypeError(f"{kind} units are named by integers, got {unit!r}")
        if not 0 <= unit < count:
            raise ValueError(f"there is no {kind} unit {unit}: they are 0 to {count - 1}")
        chosen.append(int(unit))
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"a {kind} unit is named twice in {chosen}")
    return chosen


def _checked_clamp(clamp: Mapping[int, int] | None, n: int) -> dict[int, int]:
    if not clamp:
        return {}
    units = _checked_units(list(clamp), n, "visible")
    for unit, bit in zip(units, clamp.values(), strict=True):
        if bit not in (0, 1):
            raise ValueError(f"clamp sets visible unit {unit} to {bit!r}; bits are 0 or 1")
    return {unit: int(bit) for unit, bit in zip(units, clamp.values(), strict=True)}
