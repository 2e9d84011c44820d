"""Exercises of lesson 12: check them with "minitx learn 12 --check".

Each function says what it returns. Plain Python is all you need.
"""


def layer_wise_rates(num_layers, top, decay):
    """Rates of an encoder from the bottom up: a number of blocks, two numbers -> a list of num_layers + 1 numbers.

    The first is the rate of the embeddings, then come the blocks from the lowest to the highest. The highest block
    learns at `top`, each layer below at `decay` times the rate of the one above it.
    """
    raise NotImplementedError


def warmup_then_linear(step, warmup, total):
    """The factor of a schedule: whole numbers step = 0, 1, 2, ..., warmup and total -> a number from 0 to 1.

    In the first `warmup` steps it climbs in a straight line from 0 at step 0, and would be 1 at step `warmup`. From
    there it falls in a straight line, from 1 at step `warmup` to 0 at step `total`, and stays 0. `warmup` is less than
    `total`, and may be 0: the factor of step 0 is then 1.
    """
    raise NotImplementedError
