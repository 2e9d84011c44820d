"""12. Solutions: rates that fall with depth, and a factor that rises and falls with the step."""

from minitx.learn.piece import Mistake, Piece

# -- a rate for each layer ----------------------------------------------------------------------------------------


def layer_wise_rates(num_layers, top, decay):
    """Rates of an encoder from the bottom up: a number of blocks, two numbers -> a list of num_layers + 1 numbers.

    The first is the rate of the embeddings, then come the blocks from the lowest to the highest. The highest block
    learns at `top`, each layer below at `decay` times the rate of the one above it.
    """
    # Idea: the power of decay is the distance from the top block: 0 for itself, num_layers for the embeddings.
    # Line: [top * decay**distance for distance in range(num_layers, -1, -1)]
    return [top * decay**distance for distance in range(num_layers, -1, -1)]


def _upside_down(num_layers, top, decay):
    return layer_wise_rates(num_layers, top, decay)[::-1]


def _one_step_too_low(num_layers, top, decay):
    return [rate * decay for rate in layer_wise_rates(num_layers, top, decay)]


def _no_embeddings(num_layers, top, decay):
    return layer_wise_rates(num_layers, top, decay)[1:]


def _embeddings_as_the_lowest_block(num_layers, top, decay):
    _, *blocks = layer_wise_rates(num_layers, top, decay)
    return [blocks[0], *blocks]


def _straight_line(num_layers, top, decay):
    return [top * (1 - (1 - decay) * distance) for distance in range(num_layers, -1, -1)]


def _encoders():
    return {
        "12 blocks at 0.95": (12, 1e-4, 0.95),
        "one block": (1, 0.01, 0.5),
        "a decay of 1": (3, 2e-5, 1.0),
    }


def _ends(yours, right, *_):
    return (
        f"{len(yours)} rates from {yours[0]:.2e} to {yours[-1]:.2e}; "
        f"right are {len(right)}, embeddings {right[0]:.2e}, top block {right[-1]:.2e}"
    )


# -- a factor for each step ---------------------------------------------------------------------------------------


def warmup_then_linear(step, warmup, total):
    """The factor of a schedule: whole numbers step = 0, 1, 2, ..., warmup and total -> a number from 0 to 1.

    In the first `warmup` steps it climbs in a straight line from 0 at step 0, and would be 1 at step `warmup`. From
    there it falls in a straight line, from 1 at step `warmup` to 0 at step `total`, and stays 0. `warmup` is less than
    `total`, and may be 0: the factor of step 0 is then 1.
    """
    # Idea: two straight lines that meet at step `warmup`; the second is the share of the remaining steps still to do.
    # Line: after the warmup, max(0, (total - step) / (total - warmup)); before it, step / warmup.
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / (total - warmup))


def _counted_from_one(step, warmup, total):
    return (step + 1) / warmup if step < warmup else warmup_then_linear(step, warmup, total)


def _falls_from_step_0(step, warmup, total):
    return step / warmup if step < warmup else max(0.0, 1 - step / total)


def _below_zero(step, warmup, total):
    return step / warmup if step < warmup else (total - step) / (total - warmup)


def _no_warmup_fails(step, warmup, total):
    return step / warmup if step <= warmup else warmup_then_linear(step, warmup, total)


def _no_fall(step, warmup, total):
    return step / warmup if step < warmup else 1.0


def _steps():
    return {
        "the fourth of 10 warmup steps": (3, 10, 100),
        "the first step": (0, 10, 100),
        "the end of the warmup": (10, 10, 100),
        "half way down": (55, 10, 100),
        "the end": (100, 10, 100),
        "after the end": (120, 10, 100),
        "no warmup": (0, 0, 50),
    }


def _both(yours, right, step, warmup, total):
    return f"at step {step} of {total}, {warmup} of them warmup, yours is {yours:.3g}, right is {right:.3g}"


EXERCISES = [
    Piece(
        right=layer_wise_rates,
        examples=_encoders,
        mistakes=(
            Mistake("upside down: the embeddings learn fastest", _upside_down, _ends),
            Mistake("one power of decay too many: the top block is not at `top`", _one_step_too_low, _ends),
            Mistake("the embeddings have no rate", _no_embeddings, _ends),
            Mistake("the embeddings learn as fast as the lowest block", _embeddings_as_the_lowest_block, _ends),
            Mistake("each layer loses the same amount, not the same share", _straight_line, _ends),
        ),
    ),
    Piece(
        right=warmup_then_linear,
        examples=_steps,
        mistakes=(
            Mistake("the warmup counts from step 1", _counted_from_one, _both),
            Mistake("the fall is counted from step 0, so that the factor jumps", _falls_from_step_0, _both),
            Mistake("it goes below 0 after the end", _below_zero, _both),
            Mistake("step 0 of a warmup of 0 steps is 0 / 0", _no_warmup_fails, "without a warmup it starts at 1"),
            Mistake("it stays at 1 after the warmup", _no_fall, _both),
        ),
    ),
]
