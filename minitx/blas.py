"""Does OpenBLAS use the whole width of this processor? Asked once, by `import minitx`.

OpenBLAS, which does the matrix products of NumPy's wheels, chooses its kernels when it is loaded, by the name of the
processor. One that is younger than the library it takes for an old one: the release in NumPy 2.4 multiplies on AMD's
Zen 5 with the kernels of a Haswell of 2013, at half the speed of those it has for AVX-512.
"""

import ctypes
import os

import numpy as np  # noqa: F401 - loads the library that is looked for below
from threadpoolctl import threadpool_info

VARIABLE, WANTED, TOO_OLD = "OPENBLAS_CORETYPE", "SkylakeX", ("Haswell", "Zen")
NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # by the kernels called SkylakeX


def use_avx512() -> bool:
    """Let OpenBLAS choose again, with AVX-512, where the processor has it and the choice was for one without.

    Returns whether anything was changed. Nothing is on a processor without AVX-512, with another library, on another
    system than Linux, or where the environment has OPENBLAS_CORETYPE: set it, to any of OpenBLAS's names, to be asked.
    The last bits of products depend on the kernels. Not to be called while another thread is in a product.
    """
    if VARIABLE in os.environ or not _flags() >= NEEDED:
        return False
    changed = False
    for library in threadpool_info():
        if library["internal_api"] == "openblas" and library.get("architecture") in TOO_OLD:
            blas = ctypes.CDLL(library["filepath"])
            if hasattr(blas, "gotoblas_dynamic_quit") and hasattr(blas, "gotoblas_dynamic_init"):
                os.environ[VARIABLE] = WANTED
                blas.gotoblas_dynamic_quit()  # what OpenBLAS does on leaving and on being loaded
                blas.gotoblas_dynamic_init()
                del os.environ[VARIABLE]
                changed = True
    return changed


def _flags() -> set[str]:
    """What the processor can do, as Linux says it; elsewhere nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()
