from . import bounds as bounds
from . import connectivity as connectivity
from . import metrics as metrics
from . import model as model
from . import moments as moments
from . import paulis as paulis
from . import states as states
from . import streams as streams
