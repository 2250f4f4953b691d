"""What a contraction will take."""

from __future__ import annotations

from dataclasses import dataclass

from tnqbm.base.forecast import Forecast


@dataclass(frozen=True)
class ContractionForecast(Forecast):
    """What log Z and all moments of coupled pairs will take.

    On top of a :class:`tnqbm.base.forecast.Forecast`, whose ``bytes`` are the most memory held at
    once: ``operations`` multiply-adds of the forward and backward sweeps, over all slices;
    ``width`` the base-2 logarithm of the number of entries of the largest tensor; ``slices`` the
    number of values of the variables that are summed one after the other to save memory; ``engine``
    what does the arithmetic.
    """

    operations: float
    width: float
    slices: int
    engine: str

    def __str__(self) -> str:
        return (
            f"{self.operations:.3g} multiply-adds (about {self.seconds:.2g} s on one core, engine "
            f"{self.engine}), {self.bytes / 1e9:.3g} GB, largest tensor 2^{self.width:.0f} entries"
            + (f", {self.slices} slices" if self.slices > 1 else "")
        )


def contraction_forecast(
    engine: str, seconds: float, size: float, operations: float, width: float, slices: int
) -> ContractionForecast:
    """A forecast of ``size`` bytes, with the note that tables show."""
    note = f"width {width:.0f}" + (f", {slices} slices" if slices > 1 else "")
    return ContractionForecast(
        "contraction", seconds, size, True, f"{note}, engine {engine}",
        operations, width, slices, engine,
    )  # fmt: skip
