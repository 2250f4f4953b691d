"""Time and memory of reading data files of MNIST's size, each in a process of its own.

    python scripts/benchmarks/data_files.py                  # 60,000 rows of 784 values
    python scripts/benchmarks/data_files.py --rows 6000 --json data-files.jsonl

Seconds are those of ``tnqbm.datasets.read_data`` in a process that has just imported it (the best
of ``--repeats``), by the clock and of the processor (on a machine that others use only these say
something); ``MB`` is the largest memory of that process, libraries included (about 100 MB).
Grey files are those of 8-bit images, halved by a threshold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import add_json, print_rows, write_json

GREY = {"binarise": "threshold:0.5", "maximum": 255}
FILES: dict[str, dict[str, Any]] = {
    "bits.csv": {},
    "bits.txt": {},
    "strings.txt": {},
    "header.csv": {"labels": "label"},
    "spins.csv": {"spins": "+1 is 0"},
    "grey.csv": GREY,
    "grey.csv.gz": GREY,
    "bits.npy": {},
    "bits.npz": {},
    "sparse.npz": {},
    "grey-idx3-ubyte": GREY,
    "grey-idx3-ubyte.gz": GREY,
    "bits.h5": {},
}


def images(rows: int) -> NDArray[np.uint8]:
    """Grey values (rows, 784) of which a fifth is not 0, as in MNIST."""
    rng = np.random.default_rng(0)
    grey = rng.integers(1, 256, (rows, 784), dtype=np.uint8)
    grey[rng.random(grey.shape) < 0.8] = 0
    return grey


def write(folder: Path, rows: int) -> None:
    import h5py
    import scipy.sparse

    grey = images(rows)
    bits = (grey > 127).astype(np.uint8)
    labels = np.random.default_rng(1).integers(0, 10, (rows, 1))
    save(folder / "bits.csv", bits, ",")
    save(folder / "bits.txt", bits, " ")
    save(folder / "strings.txt", bits, "")
    names = ",".join(["label", *(f"pixel{k}" for k in range(784))])
    save(folder / "header.csv", np.hstack([labels, bits]), ",", names)
    save(folder / "spins.csv", 1 - 2 * bits.astype(np.int8), ",")
    save(folder / "grey.csv", grey, ",")
    (folder / "grey.csv.gz").write_bytes(gzip.compress((folder / "grey.csv").read_bytes(), 6))
    np.save(folder / "bits.npy", bits)
    np.savez_compressed(folder / "bits.npz", bits)
    scipy.sparse.save_npz(folder / "sparse.npz", scipy.sparse.csr_array(bits))
    idx = struct.pack(">HBB3I", 0, 8, 3, rows, 28, 28) + grey.tobytes()
    (folder / "grey-idx3-ubyte").write_bytes(idx)
    (folder / "grey-idx3-ubyte.gz").write_bytes(gzip.compress(idx, 6))
    with h5py.File(folder / "bits.h5", "w") as file:
        file.create_dataset("states", data=bits, compression="gzip")


def save(path: Path, rows: NDArray[Any], between: str, names: str = "") -> None:
    words = np.array([str(k) for k in range(-1, 256)], dtype=object)
    with path.open("w") as file:
        if names:
            file.write(f"{names}\n")
        for row in rows.astype(int) + 1:
            file.write(between.join(words[row]) + "\n")


def measure(path: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds and MB of one file, in this process."""
    from tnqbm.datasets import read_data

    begun, worked = time.perf_counter(), time.process_time()
    data = read_data(path, **options)
    seconds, work = time.perf_counter() - begun, time.process_time() - worked
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"seconds": seconds, "CPU s": work, "MB": memory, "ones": float(data.states.mean())}


def apart(path: Path, options: dict[str, Any]) -> dict[str, float]:
    """:func:`measure` in a process of its own.

    The process that starts it must be small, for Linux counts its memory to the new one.
    """
    words = [sys.executable, __file__, "--file", str(path), "--options", json.dumps(options)]
    found: dict[str, float] = json.loads(subprocess.check_output(words))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="files to read, for example bits.csv,grey.csv")
    add_json(parser)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.file:
        print(json.dumps(measure(asked.file, json.loads(asked.options))))
        return
    if asked.write:
        write(Path(asked.write), asked.rows)
        return
    results = []
    names = asked.only.split(",") if asked.only else list(FILES)
    with tempfile.TemporaryDirectory() as folder:
        rows = ["--rows", str(asked.rows)]
        subprocess.check_call([sys.executable, __file__, "--write", folder, *rows])
        for name in names:
            path = Path(folder) / name
            runs = [apart(path, FILES[name]) for _ in range(asked.repeats)]
            best = min(runs, key=lambda run: run["seconds"])
            size = path.stat().st_size / 1e6
            results.append({"file": name, "file MB": size, **best})
    if asked.json:
        write_json(asked.json, "data_files", results, "lower")
    print_rows(results)


if __name__ == "__main__":
    main()
