"""The matrix products of NumPy, whichever kernels OpenBLAS ends up with."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minitx import blas

CODE = """
import numpy as np
from threadpoolctl import threadpool_info
before = [library.get("architecture") for library in threadpool_info()]
import minitx, os
from minitx.blas import VARIABLE, use_avx512
after = [library.get("architecture") for library in threadpool_info()]
print(before, after, use_avx512(), VARIABLE in os.environ)
"""


def run(**environment):
    environment = {name: value for name, value in os.environ.items() if name != blas.VARIABLE} | environment
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    return out.stdout.split()


def test_wide_kernels_are_chosen_once_where_the_processor_has_them():
    *architectures, again, left_behind = run()
    before, after = architectures[: len(architectures) // 2], architectures[len(architectures) // 2 :]
    wide = blas._flags() >= blas.NEEDED
    for old, new in zip(before, after, strict=True):
        name = old.strip("[],'")
        assert new.strip("[],'") == (blas.WANTED if wide and name in blas.TOO_OLD else name)
    assert (again, left_behind) == ("False", "False")


def test_a_choice_of_the_environment_stays():
    *_, changed, still_there = run(**{blas.VARIABLE: "Haswell"})
    assert (changed, still_there) == ("False", "True")


def test_a_system_that_says_nothing_of_its_processor(monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert blas._flags() == set()
    assert not blas.use_avx512()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (17, 1, 33), (129, 257, 65), (513, 64, 64), (5, 700, 2)])
def test_products_are_those_of_einsum(shape, dtype, rng):
    m, n, k = shape
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
    expected = np.einsum("mk,nk->mn", a.astype(np.longdouble), b.astype(np.longdouble))
    tolerance = 100 * np.finfo(dtype).eps * np.sqrt(k)
    np.testing.assert_allclose(a @ b.T, expected, atol=tolerance)
    np.testing.assert_allclose(a @ b[0], expected[:, 0], atol=tolerance)
