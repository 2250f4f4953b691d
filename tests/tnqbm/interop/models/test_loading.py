"""Models of other programs: their log weights are the sqRBM's and a constant."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tnqbm import ArchiveError, SqRBM, exact
from tnqbm.base.errors import MissingExtraError
from tnqbm.core.states import states_of
from tnqbm.interop import ImportedModel, load_model

Float = NDArray[np.float64]
N, M = 5, 3


def parameters(n: int = N, m: int = M, seed: int = 1) -> tuple[Float, Float, Float]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, m)), rng.normal(size=n), rng.normal(size=m)


def all_states(n: int) -> NDArray[np.uint8]:
    return states_of(np.arange(2**n), n)


def summed(w: Float, a: Float, b: Float, low: int, hidden_low: int | None = None) -> Float:
    """Log weights of all states by summing over all hidden configurations, too."""
    hidden_low = low if hidden_low is None else hidden_low
    x = np.where(all_states(len(a)) == 1, 1.0, low)
    y = np.where(all_states(len(b)) == 1, 1.0, hidden_low)
    energies = (x @ a)[:, None] + (y @ b)[None] + x @ w @ y.T
    return np.asarray(np.logaddexp.reduce(energies, axis=1))


def agrees(found: ImportedModel, expected: Float, tolerance: float = 1e-10) -> None:
    assert found.model.paulis == "Z"
    weights = found.model.log_weight(all_states(found.model.n_visible))
    assert np.abs(weights + found.constant - expected).max() < tolerance
    log_z = exact.log_partition(found.model) + found.constant
    assert log_z == pytest.approx(np.logaddexp.reduce(expected), abs=tolerance)


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("units", "low"), [("bits", 0), ("spins", -1)])
@pytest.mark.parametrize("m", [0, 1, 3])
def test_arrays_of_bits_and_spins(units: str, low: int, m: int) -> None:
    w, a, b = parameters(m=m)
    found = load_model((w, a, b), units=units)
    agrees(found, summed(w, a, b, low))
    assert (found.format, found.units, found.update) == ("arrays", units, None)
    agrees(load_model((w.T, a, b), units=units, rows="hidden"), summed(w, a, b, low))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([0.1, 1, 30]))
def test_any_arrays(n: int, m: int, seed: int, scale: float) -> None:
    w, a, b = (scale * part for part in parameters(n, m, seed))
    for units, low in (("bits", 0), ("spins", -1)):
        found = load_model((w, a, b), units=units)
        size = float(np.abs(w).sum() + np.abs(a).sum() + np.abs(b).sum())
        agrees(found, summed(w, a, b, low), tolerance=1e-12 * max(100.0, size))


def test_hidden_averages_keep_their_meaning() -> None:
    """Hidden bit 1 is the eigenvalue -1 of Z."""
    w, a, b = parameters()
    v = all_states(N)
    on = 1 / (1 + np.exp(-(v @ w + b)))
    state = load_model((w, a, b)).model.hidden_states(v)
    assert np.abs(state[..., 1, 1] - on).max() < 1e-12


def test_constant_is_stated_in_closed_form() -> None:
    w, a, b = parameters()
    found = load_model((w, a, b))
    assert found.constant == pytest.approx(a.sum() / 2 + b.sum() / 2 + w.sum() / 4, abs=1e-12)
    assert load_model((w, a, b), units="spins").constant == 0


# --- scikit-learn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bernoulli_rbm(dtype: type) -> None:
    network = pytest.importorskip("sklearn.neural_network")
    rows = (np.random.default_rng(3).random((50, 6)) < 0.4).astype(dtype)
    fitted = network.BernoulliRBM(n_components=4, n_iter=5, learning_rate=0.2, random_state=0)
    fitted.fit(rows)
    found = load_model(fitted)
    assert found.format == "sklearn"
    assert (found.model.n_visible, found.model.n_hidden) == (6, 4)
    energy = fitted._free_energy(all_states(6).astype(np.float64))
    agrees(found, -energy)


def test_bernoulli_rbm_of_as_many_hidden_as_visible_units() -> None:
    network = pytest.importorskip("sklearn.neural_network")
    fitted = network.BernoulliRBM(n_components=6, n_iter=3, random_state=0)
    fitted.fit((np.random.default_rng(3).random((50, 6)) < 0.4).astype(float))
    agrees(load_model(fitted), -fitted._free_energy(all_states(6).astype(np.float64)))
    with pytest.raises(ValueError, match="leave rows away; its format says this itself"):
        load_model(fitted, rows="visible")


def test_bernoulli_rbm_that_is_not_fitted() -> None:
    network = pytest.importorskip("sklearn.neural_network")
    with pytest.raises(ValueError, match="not fitted yet"):
        load_model(network.BernoulliRBM())


# --- PyTorch --------------------------------------------------------------------------------------


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def free_energy(torch: Any, w: Any, a: Any, b: Any) -> Float:
    """As such modules compute it, in double precision; w is (m, n)."""
    v = torch.tensor(all_states(len(a)), dtype=torch.float64)
    linear = torch.nn.functional.linear(v, w.double(), b.double())
    energy = -(v @ a.double()) - torch.nn.functional.softplus(linear).sum(1)
    return np.asarray(energy.numpy())


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("keys", [("W", "v_bias", "h_bias"), ("rbm.weight", "rbm.v", "rbm.h")])
def test_state_dicts(torch: Any, tmp_path: Path, dtype: str, keys: tuple[str, ...]) -> None:
    w, a, b = (torch.tensor(part).to(getattr(torch, dtype)) for part in parameters())
    expected = -free_energy(torch, w.T, a, b)
    state = dict(zip(keys, (w.T, a[None], b), strict=True))  # (m, n), (1, n), (m,)
    agrees(load_model(state), expected)
    torch.save(state, tmp_path / "state.pt")
    found = load_model(tmp_path / "state.pt")
    agrees(found, expected)
    assert found.format == "torch"
    assert found.names == dict(zip("wab", keys, strict=True))
    torch.save({"epoch": 3, "model_state_dict": state}, tmp_path / "checkpoint.pth")
    agrees(load_model(tmp_path / "checkpoint.pth"), expected)


def test_modules(torch: Any) -> None:
    module = torch.nn.Module()
    w, a, b = (torch.tensor(part) for part in parameters())
    module.W, module.v_bias, module.h_bias = map(torch.nn.Parameter, (w, a, b))
    agrees(load_model(module), -free_energy(torch, w.T, a, b))


def test_square_weights_are_not_guessed(torch: Any) -> None:
    w, a, b = map(torch.tensor, parameters(4, 4))
    state = {"W": w, "v_bias": a, "h_bias": b}
    with pytest.raises(ValueError, match="more than one reading, as the weights are square"):
        load_model(state)
    agrees(load_model(state, rows="hidden"), -free_energy(torch, w, a, b))
    agrees(load_model(state, rows="visible"), -free_energy(torch, w.T, a, b))


def test_unknown_names_are_found_by_shape_or_asked_for(torch: Any) -> None:
    w, a, b = map(torch.tensor, parameters())
    expected = -free_energy(torch, w.T, a, b)
    agrees(load_model({"fc.weight": w.T, "fc.bias": b, "v_bias": a}), expected)
    unclear = {"x": w, "y": a, "z": b}
    with pytest.raises(ValueError, match=r"more than one reading.*x \(5, 3\), y \(5,\), z \(3,\)"):
        load_model(unclear)
    agrees(load_model(unclear, rows="visible"), expected)
    agrees(load_model(unclear, names={"w": "x", "a": "y", "b": "z"}), expected)
    agrees(load_model({"W": w, "a": a, "b": b}), expected)
    agrees(load_model({"W": w.T, "v": a, "h": b}), expected)
    # b next to c is the visible bias of some and the hidden one of others, h next to J a field
    for letters in ("bc", "cb", "hc", "va"):
        for weights in (w, w.T):
            with pytest.raises(ValueError, match="more than one reading"):
                load_model({"J": weights, letters[0]: a, letters[1]: b})


def test_what_a_state_dict_lacks_or_has_too_much(torch: Any, tmp_path: Path) -> None:
    w, a, b = map(torch.tensor, parameters())
    with pytest.raises(
        ValueError, match=r"no hidden biases found; it holds W \(5, 3\), v_bias \(5,\)"
    ):
        load_model({"W": w, "v_bias": a})
    with pytest.raises(ValueError, match=r"there is no 'weight' \(w\); it holds W \(5, 3\)"):
        load_model({"W": w, "v_bias": a, "h_bias": b}, names={"w": "weight"})
    more = {"W": w, "v_bias": a, "h_bias": b, "lateral": torch.zeros(5, 5)}
    with pytest.raises(ValueError, match="beside weights and biases it holds lateral"):
        load_model(more)
    assert load_model(more, names={"w": "W", "a": "v_bias", "b": "h_bias"}).model.n_hidden == 3
    with pytest.raises(ValueError, match="no tensors in it; it holds epoch, optimizer"):
        load_model({"epoch": 1, "optimizer": {}})
    with pytest.raises(ValueError, match=r"no weights \(n, m\) go with"):
        load_model({"W": w, "v_bias": a[:4], "h_bias": b})
    with pytest.raises(ValueError, match=r"real numbers, got torch\.complex128"):
        load_model({"W": w.to(torch.complex128), "v_bias": a, "h_bias": b})
    with pytest.raises(ValueError, match="dense tensor"):
        load_model({"W": w.to_sparse(), "v_bias": a, "h_bias": b})
    torch.save([w, a, b], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        load_model(tmp_path / "list.pt")


class Trap:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self.path),))

    path = ""


@pytest.mark.parametrize(
    "name", ["trap.pt", "trap.pth", "trap.npz", "trap.mat", "trap.pkl", "trap.h5"]
)
@pytest.mark.parametrize("writer", ["pickle", "torch", "numpy"])
def test_no_file_runs_code(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, writer: str
) -> None:
    monkeypatch.setattr(Trap, "path", str(tmp_path / "sprung"))
    path = tmp_path / name
    with path.open("wb") as file:
        if writer == "pickle":
            pickle.dump({"W": Trap()}, file)
        elif writer == "torch":
            torch.save({"W": Trap()}, file)
        else:
            np.savez(file, W=np.array([Trap()], dtype=object))
    with pytest.raises((ValueError, ArchiveError)):
        load_model(path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "sprung").exists()  # the trap works


def test_old_versions_of_torch_are_refused(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({}, tmp_path / "state.pt")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(ValueError, match=r"update it to 2\.6"):
        load_model(tmp_path / "state.pt")


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "state.pt").write_bytes(b"x")
    with pytest.raises(MissingExtraError, match="reading PyTorch files needs torch"):
        load_model(tmp_path / "state.pt")


# --- the package rbms -----------------------------------------------------------------------------


def write_rbms(
    path: Path, kind: str | None = "BBRBM", updates: tuple[int, ...] = (10, 100)
) -> Float:
    """A file as rbms writes it: parameters twice, by hard links; the weights of the last update."""
    w, a, b = (part.astype(np.float32) for part in parameters())
    with h5py.File(path, "w") as file:
        for update in updates:
            group = file.create_group(f"update_{update}")
            inner = group.create_group("params")
            for name, value in (
                ("weight_matrix", w * np.float32(update / 100)),
                ("vbias", a),
                ("hbias", b),
            ):
                inner[name] = value
                group[name] = inner[name]
            group["numpy_rng_arg0"] = "MT19937"
            group["time"] = 1.5
            group.create_group("flags")
        file["parallel_chains"] = np.zeros((7, N), np.float32)
        if kind is not None:
            file["model_type"] = kind
    low = -1 if kind == "IIRBM" else 0
    return summed(*(part.astype(np.float64) for part in (w, a, b)), low)


@pytest.mark.parametrize(("kind", "units"), [("BBRBM", "bits"), ("IIRBM", "spins")])
def test_rbms(tmp_path: Path, kind: str, units: str) -> None:
    expected = write_rbms(tmp_path / "rbm.h5", kind)
    found = load_model(tmp_path / "rbm.h5")
    agrees(found, expected)
    assert (found.format, found.units, found.update) == ("rbms", units, 100)
    assert found.names["w"] == "update_100/params/weight_matrix"
    earlier = load_model(tmp_path / "rbm.h5", update=10)
    assert np.abs(earlier.model.w * 10 - found.model.w).max() < 1e-7
    with pytest.raises(ValueError, match="there is no update 7; it holds 10, 100"):
        load_model(tmp_path / "rbm.h5", update=7)


def test_rbms_of_other_kinds_and_old_files(tmp_path: Path) -> None:
    path = tmp_path / "rbm.h5"
    write_rbms(path, "PBRBM")
    with pytest.raises(ValueError, match="holds a PBRBM; only RBMs of two-valued units"):
        load_model(path)
    expected = write_rbms(path, None)
    with pytest.raises(ValueError, match="no model_type"):
        load_model(path)
    agrees(load_model(path, units="bits"), expected)
    with h5py.File(path, "a") as file:
        for name in ("update_10", "update_100"):
            del file[name]["params"]
    agrees(load_model(path, units="bits"), expected)
    with h5py.File(path, "a") as file:
        del file["update_100/hbias"]
    with pytest.raises(ValueError, match=r"update_100: there is no 'hbias' \(b\); it holds weight"):
        load_model(path, units="bits")


# --- RestrictedBoltzmannMachines.jl ---------------------------------------------------------------


def write_julia(
    path: Path,
    visible: tuple[int, ...] = (N,),
    hidden: tuple[int, ...] = (M,),
    kinds: tuple[str, str] = ("Binary", "Binary"),
    scales: bool = False,
) -> dict[str, Float]:
    """A file as Julia writes it, axes in reverse; the arrays as Julia has them."""
    rng = np.random.default_rng(4)
    arrays = {
        "weights": rng.normal(size=(*visible, *hidden)),
        "visible_par": rng.normal(size=(1, *visible)),
        "hidden_par": rng.normal(size=(1, *hidden)),
    }
    if scales:
        arrays |= {"offset_v": rng.random(visible), "offset_h": rng.random(hidden)}
        arrays |= {"scale_v": 0.5 + rng.random(visible), "scale_h": 0.5 + rng.random(hidden)}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array.transpose()
        texts = {
            "rbm_hdf5_file_format_version": "1.0.0",
            "rbm_type": "StandardizedRBM" if scales else "RBM",
            "visible_type": kinds[0],
            "hidden_type": kinds[1],
        }
        for name, text in texts.items():
            file.create_dataset(name, data=text, dtype=h5py.string_dtype("utf-8", len(text)))
    return arrays


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("kinds", [("Binary", "Binary"), ("Spin", "Spin"), ("Binary", "Spin")])
def test_julia(tmp_path: Path, kinds: tuple[str, str], scales: bool) -> None:
    arrays = write_julia(tmp_path / "rbm.hdf5", kinds=kinds, scales=scales)
    found = load_model(tmp_path / "rbm.hdf5")
    assert found.format == "julia"
    lows = [0 if kind == "Binary" else -1 for kind in kinds]
    x, y = (np.where(all_states(k) == 1, 1.0, low) for k, low in zip((N, M), lows, strict=True))
    fields = (x @ arrays["visible_par"][0])[:, None] + y @ arrays["hidden_par"][0]
    if scales:
        x = (x - arrays["offset_v"]) / arrays["scale_v"]
        y = (y - arrays["offset_h"]) / arrays["scale_h"]
    agrees(found, np.logaddexp.reduce(fields + x @ arrays["weights"] @ y.T, axis=1))


def test_julia_layers_of_several_axes_have_the_order_of_julia(tmp_path: Path) -> None:
    """vec(v) of Julia goes down the first axis first."""
    arrays = write_julia(tmp_path / "rbm.hdf5", (2, 3), (2, 2))
    w = arrays["weights"].reshape(6, 4, order="F")
    a, b = (arrays[f"{name}_par"][0].reshape(-1, order="F") for name in ("visible", "hidden"))
    agrees(load_model(tmp_path / "rbm.hdf5"), summed(w, a, b, 0))


def test_julia_of_other_layers_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "rbm.hdf5"
    write_julia(path, kinds=("Potts", "Binary"))
    with pytest.raises(ValueError, match="its visible layer is Potts"):
        load_model(path)
    arrays = write_julia(path)
    with h5py.File(path, "a") as file:
        del file["rbm_type"]  # as before standardized ones were written
    agrees(
        load_model(path),
        summed(arrays["weights"], arrays["visible_par"][0], arrays["hidden_par"][0], 0),
    )
    with h5py.File(path, "a") as file:
        del file["weights"]
        file["weights"] = arrays["weights"]
    with pytest.raises(ValueError, match="do not have the shape of its layers"):
        load_model(path)
    with h5py.File(path, "a") as file:
        del file["rbm_hdf5_file_format_version"]
        file["rbm_hdf5_file_format_version"] = "2.0.0"
    with pytest.raises(ValueError, match=r"version 2\.0\.0"):
        load_model(path)


# --- MATLAB ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["hidbiases", "hidrecbiases"])
@pytest.mark.parametrize("n", [N, M])
def test_matlab(tmp_path: Path, hidden: str, n: int) -> None:
    w, a, b = parameters(n)
    path = tmp_path / "mnistvh.mat"
    values = {"vishid": w, "visbiases": a[None], hidden: b[None], "maxepoch": 50.0, "name": "x"}
    scipy.io.savemat(path, {**values, "vishidinc": np.zeros((n, M))})
    found = load_model(path)
    agrees(found, summed(w, a, b, 0))
    assert (found.format, found.names["b"]) == ("matlab", hidden)


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_matlab_versions_and_types(tmp_path: Path, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "rbm.mat"
    for kind in ("float64", "float32", "int8", "uint16", "int64"):
        w, a, b = (rng.integers(0, 9, size).astype(kind) for size in ((6, 2), (6, 1), (1, 2)))
        if kind == "int64" and options.get("format"):
            continue  # which level 4 has not
        beside = {"c": 1j * np.ones((2, 2)), "s": "text", "vishid2": np.zeros((0, 3))}
        scipy.io.savemat(path, {"vishid": w, "visbiases": a, "hidbiases": b, **beside}, **options)
        found = load_model(path)
        expected = load_model((w.astype(float), a.ravel().astype(float), b.ravel().astype(float)))
        assert found.model == expected.model


def test_matlab_of_other_byte_order(tmp_path: Path) -> None:
    """Written by hand: a small element for the name, values as bytes."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    def matrix(name: str, shape: tuple[int, int], values: list[int]) -> bytes:
        parts = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", *shape))
        text = name.encode()
        small = struct.pack(">HH4s", len(text), 1, text)
        return element(14, parts + small + element(1, struct.pack(f">{len(values)}b", *values)))

    content = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"
    content += matrix("w", (2, 3), [1, 2, 3, 4, 5, 6]) + matrix("bv", (2, 1), [7, -8])
    (tmp_path / "rbm.mat").write_bytes(content + matrix("bh", (1, 3), [1, 0, -1]))
    expected = load_model(([[1, 3, 5], [2, 4, 6]], [7, -8], [1, 0, -1]))
    assert load_model(tmp_path / "rbm.mat").model == expected.model


@pytest.mark.parametrize("options", [{}, {"do_compression": True}])
def test_matlab_with_any_bytes_wrong(tmp_path: Path, options: dict[str, Any]) -> None:
    w, a, b = parameters()
    path = tmp_path / "rbm.mat"
    scipy.io.savemat(path, {"vishid": w, "visbiases": a, "hidbiases": b}, **options)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    messages = []
    for _ in range(400):
        wrong = bytearray(content)
        for place in rng.integers(128, len(content), rng.integers(1, 4)):
            wrong[place] = rng.integers(256)
        path.write_bytes(wrong[: rng.integers(len(content))] if rng.random() < 0.2 else wrong)
        try:
            load_model(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(str(path)) for message in messages)


def test_matlab_of_version_7_3(tmp_path: Path) -> None:
    w, a, b = parameters()
    path = tmp_path / "mnistvh.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (("vishid", w), ("visbiases", a[None]), ("hidbiases", b[None])):
            file[name] = value.T
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    agrees(load_model(path), summed(w, a, b, 0))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ArchiveError, match="damaged"):
        load_model(path)


def test_arrays_of_julia(tmp_path: Path) -> None:
    """As jldsave writes them: by columns, behind 512 bytes, beside a group of types."""
    w, a, b = parameters(M, M)  # square, so that a matrix the wrong way round would pass
    path = tmp_path / "rbm.jld2"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("_types")
        for name, value in (("weights", w), ("vbias", a), ("hbias", b)):
            file[name] = value.T
    found = load_model(path)
    agrees(found, summed(w, a, b, 0))
    assert found.format == "jld2"


def test_matlab_without_an_rbm(tmp_path: Path) -> None:
    path = tmp_path / "other.mat"
    # The last layer of the classic autoencoder, whose hidden units are no bits.
    top = {"hidtop": np.ones((4, 2)), "toprecbiases": np.ones(2), "topgenbiases": np.ones(4)}
    scipy.io.savemat(path, top)
    with pytest.raises(ValueError, match=r"no weights found; it holds hidtop \(4, 2\)"):
        load_model(path)
    names = dict(zip("wba", top, strict=True))
    assert load_model(path, names=names).model.n_hidden == 2
    path.write_bytes(b"not a MATLAB file at all, whatever its name says" * 10)
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        load_model(path)


# --- other files, and what is wrong with them -----------------------------------------------------


def test_npz_of_another_program(tmp_path: Path) -> None:
    w, a, b = parameters()
    np.savez(tmp_path / "rbm.npz", W=w, vbias=a, hbias=b)
    agrees(load_model(tmp_path / "rbm.npz", units="spins"), summed(w, a, b, -1))


def test_hdf5_of_another_program(tmp_path: Path) -> None:
    w, a, b = parameters()
    with h5py.File(tmp_path / "rbm.h5", "w") as file:
        file["weights"], file["vbias"], file["hbias"] = w.T, a, b
    found = load_model(tmp_path / "rbm.h5")
    agrees(found, summed(w, a, b, 0))
    assert found.format == "hdf5"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e101])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    w, a, b = parameters()
    w[2, 1] = value
    with pytest.raises(ValueError, match=r"W\[2, 1\] is .*must be finite"):
        load_model((w, a, b))
    np.savez(tmp_path / "rbm.npz", W=w, v_bias=a, h_bias=b)
    with pytest.raises(ValueError, match=r"rbm\.npz: W\[2, 1\] is"):
        load_model(tmp_path / "rbm.npz")


def test_sources_of_another_kind(tmp_path: Path) -> None:
    w, a, b = parameters()
    with pytest.raises(TypeError, match="or a fitted BernoulliRBM"):
        load_model(3)
    with pytest.raises(TypeError, match=r"arrays \(W, a, b\)"):
        load_model((w, a))
    with pytest.raises(ValueError, match=r"rows are visible units.*W \(3, 5\)"):
        load_model((w.T, a, b))
    with pytest.raises(ValueError, match="units must be one of bits, spins"):
        load_model((w, a, b), units="qubits")
    with pytest.raises(ValueError, match="names has the keys w, a and b, got 'W'"):
        load_model({"W": w, "a": a, "b": b}, names={"W": "W"})
    with pytest.raises(TypeError, match=r"names must be a Mapping, got 'W'; such as"):
        load_model({"W": w, "a": a, "b": b}, names="W")  # type: ignore[arg-type]
    assert load_model({"W": w, "a": a, "b": b}).format == "arrays"
    with pytest.raises(ValueError, match="leave update away; it has no updates"):
        load_model((w, a, b), update=3)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "absent.npz")
    (tmp_path / "rbm.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"read from files that end in \.pt"):
        load_model(tmp_path / "rbm.npy")
    (tmp_path / "rbm.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(ValueError, match="cannot be read as arrays of NumPy"):
        load_model(tmp_path / "rbm.npz")
    with pytest.raises(ValueError, match="is a folder"):
        load_model(tmp_path)


def test_a_file_that_is_not_of_torch(torch: Any, tmp_path: Path) -> None:
    (tmp_path / "rbm.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"rbm\.pt"):
        load_model(tmp_path / "rbm.pt")


def test_a_model_of_this_package_is_told_of(tmp_path: Path) -> None:
    SqRBM.uniform(4, 2, "Z", seed=1).save(tmp_path / "model.h5")
    with pytest.raises(ArchiveError, match=r"a saved model.*SqRBM\.load"):
        load_model(tmp_path / "model.h5")


def test_damaged_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "rbm.h5"
    write_rbms(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArchiveError):
        load_model(path)
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros((2, 3))
        file["vbias"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
    with pytest.raises(ValueError, match="no visible biases found"):
        load_model(path)


def test_half_written_archives_of_torch(torch: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"W": torch.zeros(5, 3)}, buffer)
    (tmp_path / "state.pt").write_bytes(buffer.getvalue()[:-200])
    with pytest.raises(ValueError, match=r"state\.pt"):
        load_model(tmp_path / "state.pt")
