"""What holds for all tests, and for the processes that they start."""

import os

# Two test processes with BLAS threads on every core each wait for one another, spinning: small
# matrices take ten times as long. NumPy reads this when it is first imported, after this file.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
