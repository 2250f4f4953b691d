"""Figures of archives, models, samples and resources; every function returns ``(figure, axes)``.

Here are those of one or more archives: learning curves, final distances, least hidden units.
Others are in its modules ``samples``, ``structure`` and ``resources``. Figures are made without
pyplot, so nothing global changes and no window opens; :func:`save_figure` writes PNG, PDF or SVG.
matplotlib is imported on the first call (extra ``plot``; tnqbm.MissingExtraError without it).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
