"""Exercises of lesson 11: check them with "minitx learn 11 --check".

Each function says what it returns. NumPy is all you need.
"""

import numpy as np


def linear_probe_parameters(names, heads):
    """Which parameters train when the heads in `heads` do, and nothing else? Two lists of str -> a list of str.

    `names` are all parameter names of a model, as `named_parameters()` gives them. Those of the head "sentiment" begin
    with "heads.sentiment." and those of the encoder with "encoder."; heads that are not in `heads` stay frozen. A name
    may contain another: "app" and "app-size" are two heads. Returns the names that train, in the order of `names`.
    """
    raise NotImplementedError


def rehearsal_batches(new, old, share, rng):
    """Add rows of an old task to the batches of a new one: a list of arrays, an array, a number -> a list of arrays.

    `new` holds the row numbers of each batch, (B,), where the last batch may be smaller; `old` (M,) the row numbers to
    rehearse from. To each batch, in order, its own k = round(share * B) rows of `old` are appended, drawn anew by
    rng.choice(old, size=k, replace=False), so that no row stands in a batch twice. `new` itself is not changed.
    """
    raise NotImplementedError
