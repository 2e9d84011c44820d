"""Vectors in an eighth of the bytes, or a thirty-second."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitx.errors import InputError

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FEW = 100  # vectors, whose ranges say little about those to come


def quantize_embeddings(
    embeddings: ArrayLike, precision: str, ranges: ArrayLike | None = None, calibration_embeddings: Any = None
) -> np.ndarray:
    """(N, D) floats as `precision` says: (N, D) bytes, or (N, D / 8) with a bit for each number, which is its sign.

    Args:
        embeddings: (N, D); or (D,) with ranges or calibration_embeddings, or to bits.
        precision: "int8" and "uint8" divide each column's range into 255 steps, -128 to 127 and 0 to 255; "binary" and
            "ubinary" pack eight signs into an int8 or uint8.
        ranges: (2, D), the least and the largest of each column; by default those of `calibration_embeddings` (M, D),
            or of the vectors themselves, with a warning if these are fewer than 100.

    `InputError` if the precision is unknown, the vectors are bytes already, or there is a single one and no range. The
    bits are those of sentence-transformers' `quantize_embeddings`.
    """
    vectors = np.asarray(embeddings)
    if precision not in PRECISIONS or vectors.dtype.kind != "f":
        raise InputError(f"{precision!r} of {vectors.dtype}: accepted are {', '.join(PRECISIONS)}, of floats")
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision.endswith("binary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 128).view(np.int8)
    if ranges is None:
        known = np.atleast_2d(vectors if calibration_embeddings is None else calibration_embeddings)
        if calibration_embeddings is None and len(known) == 1:
            raise InputError(f"{precision}: one vector has no range; give ranges or calibration_embeddings")
        if calibration_embeddings is None and len(known) < FEW:
            warnings.warn(f"{precision}: ranges of only {len(known)} vectors; give those of more", stacklevel=3)
        ranges = [known.min(axis=0, initial=np.inf), known.max(axis=0, initial=-np.inf)]
    start, end = np.asarray(ranges, np.float32)
    step = (end - start) / 255
    levels = np.clip(np.floor((vectors - start) / np.where(step == 0, 1, step)), 0, 255)
    return levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)
