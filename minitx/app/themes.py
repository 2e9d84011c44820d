"""What do a model's mistakes have in common? Groups of mistakes whose vectors lie together, and the words they share.

Mistakes of one kind (the same true and the same predicted class) are divided where they differ most: the largest group
is cut in two by the sign of its rows' projection on its first principal direction, until no group is large or a kind
has `MOST_GROUPS`. That is principal direction divisive partitioning (Boley 1998): nothing is drawn, and the same rows
give the same groups. Which words a group shares is told by log-odds with an informative prior (Monroe, Colaresi & Quinn
2008, 3.5.1), which a rare word does not win by luck:

    z[t] = (ln odds of t in the group - ln odds of t in all other rows) / √(1 / a + 1 / b)

with a and b the numbers of texts that have the term t, in the group and among the others, to both of which the prior is
added: as many texts as the group has, made like all rows. Odds are beside all terms of those texts, so that long texts
have no more of everything. (The paper counts each occurrence; here a text has a term or not, as in the bag of words.)
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minitx.data.split import LabelledTexts, normalise
from minitx.models.multitask import MultiTaskModel
from minitx.models.search import normalized
from minitx.training.baseline import terms_of

LARGE, MOST_GROUPS = 24, 4  # mistakes of a group that is not divided; groups of one kind of mistake
TERMS, EXAMPLES = 6, 3
# Below this z a term says nothing: thousands are tried, and one in forty would by chance be above 1.96. And only what
# three texts and this share of a group's texts have is called shared.
Z, COMMON = 3.0, 0.05


@dataclass(frozen=True)
class Theme:
    """Mistakes that are alike."""

    true: str
    predicted: str
    rows: np.ndarray  # (n,), nearest to the centre of their vectors first
    share: float  # of all mistakes of the head
    terms: dict[str, int]  # those that tell the group's texts from the other rows, clearest first -> how many have it
    examples: list[int]  # rows, nearest to the centre first; each with a text of its own

    def __str__(self) -> str:
        kind = f"{len(self.rows):>6,} {f'({100 * self.share:.0f} %)':>7}  is {self.true}, predicted {self.predicted}"
        return f"{kind}: {', '.join(self.terms) or 'no word stands out'}"


def count_terms(texts: Iterable[str]) -> Counter[str]:
    """Term -> the number of texts it occurs in."""
    return Counter(term for text in texts for term in terms_of(text))


def find_themes(
    model: MultiTaskModel, data: LabelledTexts, head: str, probabilities: np.ndarray, counts: Counter[str]
) -> list[Theme]:
    """Every wrong prediction of a head is in one group, the largest first; `probabilities` (N, C).

    `counts` are those of all texts: `count_terms(data.texts)`. Of a text that is too long, the vector is that of what
    the model reads, the words are all of them.
    """
    target, predicted = data.labels[head], model.answers.decide(head, probabilities)
    wrong = np.flatnonzero((target >= 0) & (predicted != target))
    sequences, _ = model.encoder.tokenize_and_cut([data.texts[row] for row in wrong])  # the caller has reported those
    vectors = normalized(model.encoder.encode_ids(sequences, show_progress_bar=False).astype(np.float64))
    themes = []
    for t, p in sorted(set(zip(target[wrong].tolist(), predicted[wrong].tolist(), strict=True))):
        kind = np.flatnonzero((target[wrong] == t) & (predicted[wrong] == p))
        for group in divide(vectors, kind):
            distance = np.linalg.norm(vectors[group] - vectors[group].mean(axis=0), axis=1)
            rows = wrong[group[np.argsort(distance.round(6), kind="stable")]]
            texts, names = [data.texts[row] for row in rows], model.classes[head]
            first = np.sort(np.unique(list(map(normalise, texts)), return_index=True)[1])  # the nearest of each text
            terms = shared_terms(count_terms(texts), len(rows), counts, len(data))
            examples = rows[first[:EXAMPLES]].tolist()
            themes.append(Theme(names[t], names[p], rows, len(rows) / len(wrong), terms, examples))
    return sorted(themes, key=lambda theme: -len(theme.rows))


def divide(vectors: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Groups of `rows` of `vectors` (N, D) that lie together: at most `MOST_GROUPS`, divided only above `LARGE`."""
    groups, whole = [rows], list[np.ndarray]()
    while groups and len(groups) + len(whole) < MOST_GROUPS:
        largest = groups.pop(int(np.argmax([len(group) for group in groups])))
        centred = vectors[largest] - vectors[largest].mean(axis=0)
        side = centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0
        if len(largest) <= LARGE or side.all() or not side.any() or np.abs(centred).max() < 1e-6:  # copies of one text
            whole.append(largest)
        else:
            groups += sorted((largest[side], largest[~side]), key=lambda group: int(group[0]))  # whatever the sign
    return [*groups, *whole]


def shared_terms(inside: Counter[str], texts: int, everywhere: Counter[str], rows: int) -> dict[str, int]:
    """The terms that stand in a group's texts rather than in the others, clearest first -> how many texts have them.

    `inside` counts the group's `texts`, `everywhere` all `rows`. Left out: signs, terms of few texts, and those with a
    word that a clearer one has.
    """
    z, weight, n, total = {}, texts / rows, inside.total(), everywhere.total()
    for term, have in inside.items():
        a, b = have + weight * everywhere[term], (1 + weight) * everywhere[term] - have
        rest_a, rest_b = n + weight * total - a, (1 + weight) * total - n - b
        if have >= max(3, COMMON * texts) and term.replace(" ", "").isalnum() and min(rest_a, rest_b) > 0:
            z[term] = (np.log(a / rest_a) - np.log(b / rest_b)) / np.sqrt(1 / a + 1 / b)
    chosen: dict[str, int] = {}
    for term in sorted((term for term in z if z[term] > Z), key=lambda term: (-z[term], term)):
        if len(chosen) < TERMS and not any(set(term.split()) & set(other.split()) for other in chosen):
            chosen[term] = inside[term]
    return chosen
