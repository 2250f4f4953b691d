from .density import SqRBMDensity as SqRBMDensity
