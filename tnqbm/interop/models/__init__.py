"""RBMs of other programs as sqRBMs with the Pauli set "Z", and such sqRBMs as files for them.

Imports the model and what reads files. Begin with ``loading``, which asks one module per format;
``units`` holds the conversion itself.
"""
