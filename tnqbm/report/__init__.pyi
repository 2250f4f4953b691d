from .collecting import collect as collect
from .collecting import write as write
from .content import Draw as Draw
from .content import Finding as Finding
from .content import LogZ as LogZ
from .content import Report as Report
from .samples import Sampler as Sampler
