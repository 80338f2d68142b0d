"""Libraries that few photos need, imported when the first does: together they take 0.3 s and 60 MB."""

import os
from types import ModuleType


def imported_numpy() -> ModuleType:
    """NumPy with one thread: a render process has one core, and each further thread takes address space."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import numpy

    return numpy
