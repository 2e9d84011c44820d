"""One training on several processes: every rank takes some lanes of each batch, and gradients are added up over MPI.

    mpiexec -n 2 minitx train ...

A lane is what one thread computes (`training.parallel`). Lanes are numbered across all ranks, so that two ranks of one
lane each deal the same rows to the same lanes, with the same dropout, as one rank with two: losses and weights are the
same but for rounding. All ranks hold the same weights, see the sum of all gradients, and take the same step.

Li et al. 2020, "PyTorch Distributed", section 3. Torch: `nn.parallel.DistributedDataParallel`. Needs the extra `mpi`.
"""

import importlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minitx.autograd.engine import Sums
from minitx.autograd.rows import RowGradient
from minitx.errors import InputError
from minitx.nn.module import Parameter
from minitx.system import cores, usable_cores

BUCKET = 1 << 22  # bytes that are added up at once: large messages, of which one is packed while others travel
# What mpiexec tells a process: how many they are. MPICH and its kin, Open MPI, PMIx.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE")
FULL = -1  # in the place of a count of rows: a gradient that is an array


class Alone:
    """How a training that is the only process adds up its gradients: they are there already."""

    rank, size = 0, 1

    def share(self, item: Any) -> list[Any]:
        """Everybody's small `item`, in the order of ranks; all ranks have to call this."""
        return [item]

    def add(self, sums: Sums, parameters: Sequence[Parameter]) -> Sums:
        """The sum of everybody's gradients by `parameters`, whose order is everybody's; likewise."""
        return sums

    def lanes(self, asked: int) -> int:
        """Lanes of all ranks together: `asked`, or one for each core if that is 0."""
        return asked or usable_cores()


class Ranks(Alone):
    """The processes that one `mpiexec` started; `ImportError` without mpi4py."""

    def __init__(self) -> None:
        self.mpi: Any = importlib.import_module("mpi4py.MPI")  # which also makes this process one of them
        self.comm = self.mpi.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()

    def share(self, item: Any) -> list[Any]:
        """As in `Alone`, pickled."""
        found: list[Any] = self.comm.allgather(item)
        return found

    def lanes(self, asked: int) -> int:
        """As in `Alone`, the cores of a machine divided among its ranks; `InputError` for fewer lanes than ranks."""
        if 0 < asked < self.size:
            raise InputError(f"threads is {asked}, fewer than the {self.size} processes; expected 0 or that many")
        machine = self.comm.Split_type(self.mpi.COMM_TYPE_SHARED)
        here = set[int]().union(*machine.allgather(cores()))  # mpiexec may have given each rank its own
        each = min(self.share(len(here) // machine.Get_size()))  # all take part, whatever they were asked for
        return asked or self.size * max(1, each)

    def add(self, sums: Sums, parameters: Sequence[Parameter]) -> Sums:
        """Arrays are added up in buckets, all under way at once; of rows that were looked up, only these travel.

        They travel as they are: were shares of a row added up before, rounding would depend on the number of ranks.
        """
        mine = [sums.get(parameter) for parameter in parameters]
        forms = self.share([None if g is None else len(g.rows) if isinstance(g, RowGradient) else FULL for g in mine])
        total, arrays = Sums(), []
        for parameter, g, form in zip(parameters, mine, zip(*forms, strict=True), strict=True):
            if FULL in form:
                arrays.append((parameter, np.zeros_like(parameter.data) if g is None else np.asarray(g)))
            elif form != (None,) * self.size:
                total.add(parameter, self._rows(parameter, g, [count or 0 for count in form]))
        travelling = []
        for bucket in _buckets(arrays):
            flat = np.concatenate([g.reshape(-1) for _, g in bucket])
            travelling.append((bucket, flat, self.comm.Iallreduce(self.mpi.IN_PLACE, flat)))
        for bucket, flat, request in travelling:
            request.Wait()
            ends = np.cumsum([g.size for _, g in bucket])
            for (parameter, g), piece in zip(bucket, np.split(flat, ends[:-1]), strict=True):
                total.add(parameter, piece.reshape(g.shape))
                total.own.add(parameter)
        return total

    def _rows(self, parameter: Parameter, g: RowGradient | None, counts: list[int]) -> RowGradient:
        """The rows of all ranks, one rank's after the other's."""
        table = parameter.data
        rows, values = np.empty(sum(counts), np.int64), np.empty((sum(counts), *table.shape[1:]), table.dtype)
        mine = rows[:0], values[:0]
        if g is not None:
            mine = g.rows.astype(np.int64), np.ascontiguousarray(g.values, table.dtype)
        width = math.prod(table.shape[1:])
        for one, everyones, size in zip(mine, (rows, values), (1, width), strict=True):
            self.comm.Allgatherv(one, [everyones, [count * size for count in counts]])
        return RowGradient(rows, values, table.shape)


def ranks_here() -> Alone:
    """`Ranks` in a process that mpiexec started beside others, else `Alone`; `InputError` if mpi4py is missing."""
    if not any(int(os.environ.get(name) or 1) > 1 for name in SIZES):
        return Alone()
    try:
        return Ranks()
    except (ImportError, RuntimeError) as error:  # the latter where it finds no library of MPI
        why = str(error).splitlines()[0]
        raise InputError(f"there are several processes: `pip install mpi4py mpich` lets them talk: {why}") from None


def _buckets(arrays: Sequence[tuple[Parameter, np.ndarray]]) -> Iterator[list[tuple[Parameter, np.ndarray]]]:
    """Runs of gradients of one dtype, of about `BUCKET` bytes each."""
    bucket: list[tuple[Parameter, np.ndarray]] = []
    for parameter, g in arrays:
        if bucket and (g.dtype != bucket[0][1].dtype or sum(each.nbytes for _, each in bucket) + g.nbytes > BUCKET):
            yield bucket
            bucket = []
        bucket.append((parameter, g))
    if bucket:
        yield bucket
