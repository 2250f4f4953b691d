from . import estimators as estimators
from . import optimizers as optimizers
from .fitting import train as train
from .hamiltonians import HamiltonianProblem as HamiltonianProblem
from .problems import SqRBMProblem as SqRBMProblem
from .settings import TrainingSettings as TrainingSettings
from .trainer import Trainer as Trainer
from .trajectory import Trajectory as Trajectory
