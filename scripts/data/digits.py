"""Make data/digits.h5, the black-and-white handwritten digits, from scikit-learn's copy.

    pip install scikit-learn
    python scripts/data/digits.py            # writes data/digits.h5
    python scripts/data/digits.py --check    # compares instead; exit code 1 on a difference

scikit-learn is needed here only. The SHA-256 digest that is printed and kept in the file covers
every name, number and attribute, so it is the same wherever the file is made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tnqbm.files.atomic import atomic_write  # noqa: E402
from tnqbm.files.content import group_digest, read_group, write_group  # noqa: E402

THRESHOLD = 8
ATTRIBUTES = {
    "title": "Optical recognition of handwritten digits, black and white",
    "origin": (
        "UCI Machine Learning Repository, Optical Recognition of Handwritten Digits, the test "
        "part (optdigits.tes, 1797 images of 8 x 8 pixels, 0 to 16) as in "
        "sklearn.datasets.load_digits; changed here: each pixel cut at the threshold"
    ),
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "citation": (
        "E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, doi 10.24432/C50P49"
    ),
    "threshold": THRESHOLD,
    "meaning": "states: 1 where the pixel is above the threshold, row by row; labels: the digit",
}


def make(path: Path) -> str:
    """Write the file and return its digest."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    arrays = {
        "states": (digits.data > THRESHOLD).astype(np.uint8),
        "labels": digits.target.astype(np.uint8),
    }
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        return write_group(
            file, arrays, ATTRIBUTES, dims={"states": ("image", "pixel"), "labels": ("image",)}
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "data" / "digits.h5")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    options = parser.parse_args()
    if not options.check:
        print(options.output, make(options.output))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        expected = make(Path(folder) / "digits.h5")
    with h5py.File(options.output, "r", locking=False) as file:
        read_group(file, str(options.output))
        same = group_digest(file) == expected
    print(options.output, "is as made here" if same else "differs from what is made here")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
