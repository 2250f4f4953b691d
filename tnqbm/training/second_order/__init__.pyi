from .em import EmAlgorithm as EmAlgorithm
from .em import project as project
from .natural import NaturalGradient as NaturalGradient
from .scores import Scores as Scores
from .scores import enumerated as enumerated
from .solvers import solve as solve
