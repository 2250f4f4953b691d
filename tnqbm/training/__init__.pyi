from . import optimizers as optimizers
from . import phases as phases
from . import second_order as second_order
from .settings import TrainingSettings as TrainingSettings
from .trainer import Trainer as Trainer
from .trainer import train as train
from .trajectory import Trajectory as Trajectory
