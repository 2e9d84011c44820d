"""How much should a model believe itself, its bag of words, and each class? Found on validation rows, after training.

1. `fit_scales`: how much the head's logits and the bag of words' log-probabilities count, and how many labels no text
   explains, by least cross-entropy. With the head's alone it is temperature scaling beside such noise.
2. `fit_offsets`: thresholds for an aim other than accuracy.

Both see a few hundred rows and choose three numbers and one or two for each class, so little can be overfitted; they
never see test rows. See `models.answers` for what the numbers do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.answers import Answer, Answers, Words, log
from minitx.models.weights import LARGEST

STEPS = 1000  # of Newton's method, which needs ten or so, or a hundred where the noise settles slowly
MOST_BIASES = 30  # classes; of more, few have the rows to tell their bias by
BIAS_PULL = 5.0  # towards 0, beside 1 for the scales; by cross-validation within validation rows
NOISE_PULL, MOST_NOISE = 5.0, 0.5  # towards 0, by cross-validation as well; of the labels
MOST_GAIN = 30.0  # log of how much a label may ask for noise at once
LEAST = 0.01  # scale of a head that knows nothing
LOSS_ALLOWED = 0.02  # accuracy that macro-F1 may cost; by cross-validation within validation rows, more buys little
GRID = np.linspace(0, 3, 31)  # offsets that are tried: up to e³ = 20 times as probable
AIMS = "accuracy, macro_f1, {recall = {CLASS = 0 to 1}} or {cost = [a row for each true class, a number for each said]}"


def fit_scales(
    evidence: Sequence[np.ndarray], target: np.ndarray, biases: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """How much each of K kinds of evidence counts, the a (K,) >= 0, a bias for each class, b (C,), and the noise e.

        q = softmax(sum_k a_k z_k + b) ;  p = (1 - e) q + e / C
        minimise  mean -log p[target] + (|a - 1/K|² + 5 |b|² + 10 e) / 2N

    `evidence` are K arrays of logits (N, C), `target` (N,). For a known e, a row counts as much as its label is likely
    not to be noise, (1 - e) q / p, in steps of Newton's method, halved where they go too far; between them one for e.
    They begin at the one minimum of e = 0, and again where a good part of the labels is noise, and the lower of the two
    minima counts: there may be others. The small second term keeps it finite where validation rows are all right. Kinds
    that would count against themselves are left out: 0; if all would, the first counts next to nothing, so that there
    still is an answer. `InputError` for evidence that is not finite.

    Without `biases`, b is 0, and for K = 1 and e = 0 this is temperature scaling, a = 1 / temperature: Guo et al. 2017,
    section 4.2. With them (Alexandari, Kundaje & Shrikumar 2020, "bias-corrected temperature scaling") it takes back
    what class weights did to the classes' shares.
    """
    K, C, N = len(evidence), evidence[0].shape[1], max(1, len(target))
    always = [np.broadcast_to(np.eye(C)[c], (len(target), C)) for c in range(C if biases and C <= MOST_BIASES else 0)]
    z = np.stack([*evidence, *always]).astype(np.float64)
    if not np.isfinite(z).all():
        raise InputError("the evidence is not finite: NaN or infinite logits of validation rows")
    start, pull = np.repeat([1 / K, 0.0], [K, len(always)]), np.repeat([1.0, BIAS_PULL], [K, len(always)])
    kept = np.ones(len(z), dtype=bool)

    def objective(a: np.ndarray, noise: float) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """N times what is minimised; q (N, C); of each target, log p and how likely it is to be no noise, (N,)."""
        log_q = F.log_softmax(Tensor(np.tensordot(a, z, 1))).data
        by_q = log_q[np.arange(len(target)), target] + np.log1p(-noise)
        log_p = np.logaddexp(by_q, np.log(noise / C) if noise else -np.inf)
        penalty = pull @ (a - start) ** 2 / 2 + NOISE_PULL * noise
        return penalty - float(log_p.sum()), np.exp(log_q), log_p, np.exp(by_q - log_p)

    def minimum_from(noise: float) -> tuple[np.ndarray, float]:
        """The minimum that is found from here: a, with 0 for what is not kept, and the noise."""
        a, x, free = np.where(kept, start, 0.0), z[kept], noise > 0
        for _ in range(STEPS):
            before, q, _, real = objective(a, noise)
            mean = (x * q).sum(axis=2)  # (K, N), of the evidence under q
            slope = (mean - x[:, np.arange(len(target)), target]) @ real + pull[kept] * (a - start)[kept]
            centred = x - mean[:, :, None]
            curvature = np.einsum("inc,jnc->ij", centred * q * real[:, None], centred) + np.diag(pull[kept])
            step = np.zeros(len(z))
            step[kept] = np.linalg.solve(curvature / N, slope / N)
            while objective(a - step, noise)[0] > before and np.abs(step).max() > 1e-9:
                step /= 2  # far away, Newton's leaps are too long
            a -= step
            if np.abs(step).max() <= 1e-9 and not free:
                noise, free = 0.01, True  # a start: at 0, one label against all evidence would outweigh the others
            elif free:
                _, _, log_p, real = objective(a, noise)
                gain = np.exp(np.minimum(-log_p, MOST_GAIN)) / C - real / (1 - noise)  # of log p, by noise
                last, found = noise, noise + (gain.sum() - NOISE_PULL) / max(gain @ gain, 1.0)
                noise = min(max(float(found), 0.0), MOST_NOISE)
                if np.abs(step).max() <= 1e-9 and abs(noise - last) <= 1e-9:
                    break
        return a, noise

    while True:
        a, noise = min((minimum_from(noise) for noise in (0.0, MOST_NOISE / 2)), key=lambda found: objective(*found)[0])
        if (a[:K] >= 0).all():
            least = np.where(np.arange(K) == 0, LEAST / max(1.0, float(np.abs(z[0]).max(initial=0))), 0.0)
            return (a[:K] if a[:K].any() else least), a[K:], noise
        kept[a[:K].argmin()] = False


def fit_offsets(probabilities: np.ndarray, target: np.ndarray, aim: Any, classes: Sequence[str]) -> tuple[float, ...]:
    """Offsets (C,) of log-probabilities for an aim; () for the most probable class.

    A few dozen rows of a rare class say little about where its threshold belongs. So every row counts half as what it
    is and half as what the calibrated probabilities say that it might be: the expected confusion matrix.

    Args:
        probabilities: (N, C), calibrated.
        target: (N,).
        aim: "accuracy"; "macro_f1", at the price of `LOSS_ALLOWED` of accuracy at most; {"recall": {class: share}},
            class by class the least offset that finds this share, or else as many as any offset that is tried.
        classes: their names.
    """
    C = len(classes)
    truth = (np.eye(C)[target] + probabilities) / 2 if len(target) else probabilities
    rows, log_p, each = truth.sum(axis=0), log(probabilities), np.arange(len(truth))

    def expected(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of every class, how many rows are said to be of it, and how many of those rightly: (C,), (C,)."""
        said = (log_p + offsets).argmax(axis=1)
        return np.bincount(said, minlength=C), np.bincount(said, truth[each, said], minlength=C)

    if aim == "accuracy":
        return ()
    offsets = np.zeros(C)
    wanted = dict.fromkeys(classes, 0.0) if aim == "macro_f1" else aim["recall"]
    least = expected(offsets)[1].sum() - LOSS_ALLOWED * len(target)
    for _ in range(3 if aim == "macro_f1" else 30):  # one class after the other, until none of them moves
        before = offsets.copy()
        for name, share in wanted.items():
            c = classes.index(name)
            tried = [np.where(np.arange(C) == c, offset, offsets) for offset in GRID]
            found = [expected(one) for one in tried]
            if aim == "macro_f1":
                f1 = [np.mean(2 * right / np.maximum(said + rows, 1e-9)) for said, right in found]
                best = int(np.argmax(np.where([right.sum() >= least for _, right in found], f1, -1.0)))
            else:
                rights = np.array([right[c] for _, right in found])
                best = int(np.argmax(rights >= min(share * rows[c], rights.max())))
            offsets = tried[best]
        if (offsets == before).all():
            break
    return tuple(offsets.tolist()) if offsets.any() else ()


def check_aims(aims: Mapping[str, Any], heads: Mapping[str, Sequence[str]]) -> None:
    """`InputError` unless each aim is one of `AIMS`, for a head and classes that there are."""
    for head, aim in aims.items():
        if head not in heads:
            raise InputError(f"decide: there is no head {head!r}: there is {', '.join(heads)}")
        C, (kind, value) = len(heads[head]), next(iter(aim.items()), ("", None)) if isinstance(aim, dict) else (aim, {})
        if kind == "recall" and isinstance(value, dict):
            fits = (
                value.keys() <= {*heads[head]}
                and len(value) > 0
                and all(_is_number(share, 1) for share in value.values())
            )
        elif kind == "cost" and isinstance(value, list):
            rows = [row for row in value if isinstance(row, list) and all(_is_number(cost, LARGEST) for cost in row)]
            fits = len(rows) == len(value) == C and [*map(len, rows)] == [C] * C
            dearer = [max(row) > row[c] for c, row in enumerate(rows)] if fits else []
            if fits and (any(min(row) < row[c] for c, row in enumerate(rows)) or not any(dearer)):
                needs = "being right has to cost least in each row, and some error more in at least one"
                raise InputError(f"decide.{head}: cost: {needs}")
        else:
            fits = aim in ("accuracy", "macro_f1")
        if not fits or (isinstance(aim, dict) and len(aim) > 1):
            raise InputError(f"decide.{head}: {aim!r:.60}; expected {AIMS}; classes are {', '.join(heads[head]):.200}")


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def fit_answers(
    logits: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, tuple[str, ...]],
    *,
    words: Words | None = None,
    texts: Sequence[str] = (),
    calibrate: bool = True,
    aims: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Answers:
    """How a trained model should answer, from its logits (N, C) for each head on validation rows.

    Args:
        logits, labels: head -> (N, C), and (N,) with -100 where there is no label.
        classes: head -> their names.
        words, texts: a bag of words that has not been trained on these rows, and their texts; without, none counts.
        calibrate: fit a temperature; with words there is always one.
        aims: head -> one of `AIMS`; "accuracy" for those left out.
        say: gets a line for what each threshold does on these rows.
    """
    said, answers = words.predict_proba(texts) if words else {}, {}
    for head, z in logits.items():
        kept, aim = labels[head] >= 0, (aims or {}).get(head, "accuracy")
        z, target = z[kept], labels[head][kept]
        (alone,), _, noise = fit_scales([z], target) if calibrate else (np.ones(1), None, 0.0)
        w, answer = z, Answer(float(alone), noise, float(alone), noise=noise)
        if words:
            w = log(said[head][kept])
            (scale, count), biases, noise = fit_scales([z, w], target, biases=True)
            answer = replace(answer, scale=float(scale), words=float(count), noise=noise, biases=(*biases.tolist(),))
        if isinstance(aim, Mapping) and "cost" in aim:
            answers[head] = replace(answer, costs=tuple(tuple(map(float, row)) for row in aim["cost"]))
        else:
            p = Answers({head: answer}, words).mix(head, z, w)
            answers[head] = replace(answer, offsets=fit_offsets(p, target, aim, classes[head]))
            found, plain = Answers(answers).decide(head, p) == target, p.argmax(axis=1) == target
            for name, share in aim["recall"].items() if isinstance(aim, Mapping) else ():
                rows = target == classes[head].index(name)
                of = f"of {np.count_nonzero(rows):,} validation rows of {name}, thresholds find"
                shares = f"{found[rows].mean():.3f}, no threshold {plain[rows].mean():.3f}" if rows.any() else "none"
                say(f"{head}: {of} {shares}; {share:g} was asked for")
            if answers[head].offsets:
                say(f"{head}: thresholds take validation accuracy from {plain.mean():.3f} to {found.mean():.3f}")
    return Answers(answers, words)
