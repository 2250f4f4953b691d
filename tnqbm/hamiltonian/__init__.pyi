from .deep import DeepSqRBM as DeepSqRBM
from .grouped import SqBM as SqBM
from .jackknife import Estimated as Estimated
from .models import qrbm as qrbm
from .models import sqbm as sqbm
from .models import tfim as tfim
from .operator import PauliHamiltonian as PauliHamiltonian
from .typical import TypicalGibbs as TypicalGibbs
