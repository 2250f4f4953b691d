from .amplitude.amplitude import AmplitudeMPS as AmplitudeMPS
from .contraction.contraction import Contraction as Contraction
from .contraction.kept import hidden_state as hidden_state
from .contraction.kept import log_partition as log_partition
from .contraction.kept import marginal as marginal
from .contraction.kept import moments as moments
from .contraction.plan import Forecast as Forecast
from .graph import network as network
