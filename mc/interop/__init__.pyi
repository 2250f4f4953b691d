from .arviz import to_arviz as to_arviz
from .density import SqRBMDensity as SqRBMDensity
