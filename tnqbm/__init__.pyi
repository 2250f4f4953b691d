from . import archive as archive
from . import core as core
from . import datasets as datasets
from . import exact as exact
from . import figures as figures
from . import hamiltonian as hamiltonian
from . import interop as interop
from . import model_tools as model_tools
from . import networks as networks
from . import quality as quality
from . import quantum as quantum
from . import report as report
from . import training as training
from .archive import Archive as Archive
from .base.errors import ArchiveError as ArchiveError
from .base.errors import MissingExtraError as MissingExtraError
from .base.errors import StudyError as StudyError
from .core.model import SqRBM as SqRBM
from .datasets import Target as Target
from .hamiltonian import PauliHamiltonian as PauliHamiltonian
from .model_tools.equivalence import Equivalence as Equivalence
from .model_tools.equivalence import equivalent as equivalent
from .training.fitting import train as train
from .training.settings import TrainingSettings as TrainingSettings
from .training.trainer import Trainer as Trainer
from .training.trajectory import Trajectory as Trajectory

__version__: str
