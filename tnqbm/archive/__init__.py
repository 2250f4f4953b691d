"""The archive of a study: every finished run's metrics, model and snapshots, in one HDF5 file.

Imports training and what stands before it. Start with :class:`Archive`, which reads one, and
docs/archive-format.md; typed rows of its tables are in :mod:`~tnqbm.archive.rows`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
