from .amplitude.amplitude import AmplitudeMPS as AmplitudeMPS
from .contraction.cache import hidden_state as hidden_state
from .contraction.cache import log_partition as log_partition
from .contraction.cache import marginal as marginal
from .contraction.cache import moments as moments
from .contraction.contraction import Contraction as Contraction
from .contraction.plan import ContractionForecast as ContractionForecast
from .graph import network as network
