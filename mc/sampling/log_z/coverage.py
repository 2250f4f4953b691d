"""Whether an amplitude network has every part of its model."""

from __future__ import annotations

import numpy as np

from mc.sampling.amplitude.fit import log_weight_of
from mc.sampling.amplitude.moves import Proposal
from mc.sampling.amplitude.weights import weigh
from mc.sampling.log_z.estimate import Estimate, Run
from mc.sampling.log_z.mode_weights import weigh_modes
from mc.sampling.log_z.verdict import judge
from tnqbm.core import streams
from tnqbm.core.model import SqRBM

SAMPLES = 1000
"""Perfect samples whose mean weight is compared with that of the modes."""
CHAINS, BETAS = 256, 300
"""Of the survey of the modes."""


def lacks(model: SqRBM, proposal: Proposal, *, key: int) -> list[str]:
    """What is wrong with a network of the model, one line each; none if nothing is known to be.

    Its samples give the log Z of what the network has. The modes that mean-field theory finds in
    the model (:mod:`mc.sampling.log_z.mode_weights`) must not add up to more.
    """
    found = weigh(
        proposal, log_weight_of(model), SAMPLES, streams.key(key, streams.Coverage.WEIGHTS)
    )
    value = Estimate(
        value=found.log_mean,
        standard_error=max(found.standard_error, 1.0 / SAMPLES),
        ess=found.ess,
        log_weights=np.empty(0),
        method="the network",
        seconds=0.0,
        trusted=True,
    )
    known = weigh_modes(
        model,
        found.states,
        chains=CHAINS,
        betas=BETAS,
        key=streams.key(key, streams.Coverage.MODES),
    )
    return judge(Run(value, found.states), known).warnings
