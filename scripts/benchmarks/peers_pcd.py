"""Persistent contrastive divergence of a classical RBM with PyTorch, and with the package rbms.

A maker takes the first model, the data as rows of bits, the settings and a seed, and returns an
object with ``advance(updates)`` and ``model()``.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from peers_gibbs import to_bits

from tnqbm import SqRBM


class Training(NamedTuple):
    batch: int
    chains: int
    steps: int
    learning_rate: float


class Learner(Protocol):
    def advance(self, updates: int) -> Any: ...

    def model(self) -> SqRBM: ...


class TorchPCD:
    """Written out for spins: the same updates as ours, in place, without autograd.

    Data and chains are one product; the update is added to the parameters by the products
    themselves. tanh(x) is 2 sigmoid(2x) - 1, as PyTorch's sigmoid takes a fifth of its tanh's time.
    """

    def __init__(
        self, model: SqRBM, data: NDArray[np.uint8], training: Training, seed: int
    ) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._torch, self._training = torch, training
        batch, chains = training.batch, training.chains
        n, m = model.n_visible, model.n_hidden
        self._a = torch.from_numpy(model.a.astype(np.float32))
        self._b = torch.from_numpy(model.b[0].astype(np.float32))
        self._w = torch.from_numpy(model.w[0].astype(np.float32))
        self._data = torch.from_numpy(1 - 2 * data.astype(np.float32))
        # Data first, chains behind them.
        self._s = torch.empty((batch + chains, n))
        self._s[batch:] = torch.randint(0, 2, (chains, n)) * 2.0 - 1.0
        self._t = torch.empty((batch + chains, m))
        self._weights = torch.cat(
            [torch.full((batch,), 1.0 / batch), torch.full((chains,), -1.0 / chains)]
        )
        self._column = self._weights[:, None].contiguous()
        self._p = torch.empty((chains, m)), torch.empty((chains, n))
        self._u = torch.empty((chains, m)), torch.empty((chains, n))
        self._h = torch.empty((chains, m))
        self._ones = torch.ones((chains, m)), torch.ones((chains, n))
        self._order, self._at = torch.empty(0, dtype=torch.long), 0

    def _layer(self, bias: Any, x: Any, w: Any, which: int, out: Any) -> None:
        """Spins -1 with probability 1/(1 + exp(-2 field))."""
        torch = self._torch
        p, u = self._p[which], self._u[which]
        torch.addmm(bias, x, w, beta=2, alpha=2, out=p)
        torch.sub(u.uniform_(), p.sigmoid_(), out=u)
        torch.copysign(self._ones[which], u, out=out)

    def advance(self, updates: int) -> None:
        torch = self._torch
        batch, _, steps, rate = self._training
        a, b, w, s, t = self._a, self._b, self._w, self._s, self._t
        data, v = s[:batch], s[batch:]
        with torch.inference_mode():
            for _ in range(updates):
                if self._at + batch > self._order.numel():
                    self._order, self._at = torch.randperm(self._data.shape[0]), 0
                rows = self._order[self._at : self._at + batch]
                self._at += batch
                torch.index_select(self._data, 0, rows, out=data)
                for _ in range(steps):
                    self._layer(b, v, w, 0, self._h)
                    self._layer(a, self._h, w.T, 1, v)
                torch.addmm(b, s, w, beta=2, alpha=2, out=t)
                # tanh of the fields, times the weight of the row.
                t.sigmoid_().sub_(0.5).mul_(self._column)
                w.addmm_(s.T, t, alpha=2 * rate)
                b.add_(t.sum(dim=0), alpha=2 * rate)
                a.addmv_(s.T, self._weights, alpha=-rate)

    def model(self) -> SqRBM:
        a, b, w = (x.numpy().astype(np.float64) for x in (self._a, self._b, self._w))
        return SqRBM(a, b[None], w[None], "Z")


class _Rbms:
    """What both uses of rbms share. Its bits' parameters differ from ours by factors 2 and -4.

    rbms divides every gradient by its norm and centres it, so that its learning rate is the
    length of a step: another one than ours is needed to learn as fast.
    """

    STEP = 0.3
    """Length of a step in its parameters with which it learns the digits well."""

    def __init__(
        self, model: SqRBM, data: NDArray[np.uint8], training: Training, seed: int
    ) -> None:
        import torch
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.dataset.dataset_class import RBMDataset

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._torch, self._training = torch, training
        bits = to_bits(model.to_vector(), model.n_visible, model.n_hidden)
        self._params = BBRBM(
            weight_matrix=torch.from_numpy(bits.weights),
            vbias=torch.from_numpy(bits.visible),
            hbias=torch.from_numpy(bits.hidden),
        )
        self._dataset = RBMDataset(
            data=data.astype(np.float32),
            labels=np.zeros(len(data)),
            weights=np.ones(len(data), np.float32),
            names=np.arange(len(data)).astype(str),
            dataset_name="data",
            is_binary=True,
            device="cpu",
            dtype=torch.float32,
        )

    def model(self) -> SqRBM:
        par = self._params
        w = par.weight_matrix.numpy().astype(np.float64) / -4
        a = par.vbias.numpy().astype(np.float64) / 2 - w.sum(axis=1)
        b = par.hbias.numpy().astype(np.float64) / 2 - w.sum(axis=0)
        return SqRBM(a, b[None], w[None], "Z")


class RbmsUpdates(_Rbms):
    """Its PCD update, fit_batch_pcd and a step of SGD, as in its train() but without files."""

    def __init__(
        self, model: SqRBM, data: NDArray[np.uint8], training: Training, seed: int
    ) -> None:
        super().__init__(model, data, training, seed)
        self._params.init_grad()
        self._chains = self._params.init_chains(training.chains)
        self._optimizer = self._torch.optim.SGD(
            self._params.parameters(), lr=self.STEP, maximize=True
        )

    def advance(self, updates: int) -> None:
        from rbms.training.pcd import fit_batch_pcd

        dataset, training = self._dataset, self._training
        with self._torch.no_grad():
            for _ in range(updates):
                rows = self._torch.randperm(len(dataset))[: training.batch]
                self._optimizer.zero_grad(set_to_none=False)
                self._chains, _ = fit_batch_pcd(
                    batch=(dataset.data[rows], dataset.weights[rows]),
                    parallel_chains=self._chains,
                    params=self._params,
                    gibbs_steps=training.steps,
                    beta=1.0,
                )
                self._optimizer.step()


class RbmsTrain(_Rbms):
    """Its train() as it is: a file that grows and a progress bar are part of every update."""

    def train(self, updates: int, cpu_time: bool = False) -> float:
        """Train anew from its own start; seconds."""
        import contextlib
        import io

        from rbms.training.pcd import train

        clock = time.process_time if cpu_time else time.perf_counter
        training = self._training
        n_hidden = self._params.num_hiddens()
        with tempfile.TemporaryDirectory() as folder:
            args = {
                "filename": str(Path(folder) / "rbm.h5"), "overwrite": True, "restore": False,
                "num_hiddens": n_hidden, "batch_size": training.batch,
                "gibbs_steps": training.steps, "learning_rate": self.STEP,
                "num_chains": training.chains, "num_updates": updates, "beta": 1.0,
                "training_type": "pcd", "no_center": False, "L1": 0.0, "L2": 0.0, "log": False,
                "device": "cpu", "dtype": self._torch.float32, "seed": 1, "train_size": 1.0,
                "test_size": None,
            }  # fmt: skip
            # A test set that it does not use keeps it from splitting the data.
            with contextlib.redirect_stderr(io.StringIO()):
                start = clock()
                train(
                    self._dataset, self._dataset, "BBRBM", args, self._torch.float32, np.array([])
                )
                return clock() - start


MAKERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "torch": ("torch", TorchPCD),
    "rbms": ("rbms", RbmsUpdates),
    "rbms-train": ("rbms", RbmsTrain),
}
"""Name -> (module it needs, maker)."""


def make(
    name: str, model: SqRBM, data: NDArray[np.uint8], training: Training, seed: int = 1
) -> Any:
    """The learner ``name``, or None where its library is not installed."""
    module, maker = MAKERS[name]
    if importlib.util.find_spec(module) is None:
        return None
    return maker(model, data, training, seed)
