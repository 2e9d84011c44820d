"""04. When do two sentences get similar vectors, and how is one found among many?

You search with the vectors of an encoder that has learned nothing, train it on pairs of sentences that mean the same,
search again among sentences it has not seen together, and find out what the loss's scale is for.

Open beside it:  minitx/training/contrastive.py and minitx/models/search.py
Run it:          python tutorials/04_sentence_vectors_and_search.py      (about 2 seconds)
Picture:         runs/tutorials/04_sentence_vectors_and_search.png, below the directory you run it from
Data:            96 sentences, made below; no download
"""

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from minitx import AdamW, BPETokenizer, EncoderConfig, SentenceEncoder
from minitx.evaluation.retrieval import evaluate_retrieval
from minitx.models.search import cos_sim, semantic_search
from minitx.training.contrastive import fit_pairs

PICTURE = Path("runs/tutorials/04_sentence_vectors_and_search.png")
threadpool_limits(1)  # matrices as small as these are not worth sharing between threads, which would mostly wait

# %% [markdown]
# ## 1. Two ways to say it
#
# Each pair says the same thing twice, without a word in common: "the player shuts down" and "video app crashes again".
# 48 pairs from eight parts and six faults. A quarter of the combinations is kept for the test: there, every word is
# known from the training pairs, but not together with this other one.

# %%
PARTS = {
    "player": "video app",
    "sound": "audio track",
    "picture": "screen",
    "sign-in": "login page",
    "bill": "monthly price",
    "captions": "subtitle text",
    "menu": "list of films",
    "offline copy": "saved download",
}
FAULTS = {
    "shuts down": "crashes",
    "is sluggish": "takes forever",
    "vanished": "went missing",
    "is wrong": "has errors",
    "flickers": "blinks",
    "grew worse": "got bad",
}
pairs = [
    (f"the {part} {fault}", f"{other_part} {other_fault} again")
    for part, other_part in PARTS.items()
    for fault, other_fault in FAULTS.items()
]
rng = np.random.default_rng(0)
order = rng.permutation(len(pairs))
train, test = [pairs[i] for i in order[12:]], [pairs[i] for i in order[:12]]
print(f"{len(train)} pairs to train, {len(test)} to test, such as {test[0]}")
shared = [set(a.split()) & set(b.split()) for a, b in pairs]
assert not any(shared), "no pair has a word in common"

# %% [markdown]
# ## 2. An encoder that has learned nothing
#
# It gives every sentence a vector: the mean of its tokens' vectors. The question of the test: of all 48 answers, which
# belongs to this sentence? The answer with the highest cosine is taken; `evaluate_retrieval` counts.
#
# **Predict:** how often is it the right one? One of 48 would be chance.

# %%
tokenizer = BPETokenizer.train([text for pair in pairs for text in pair], vocab_size=420)


def new_encoder():
    sizes = {"hidden_size": 48, "num_layers": 1, "num_heads": 4, "intermediate_size": 96, "max_length": 32}
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes)
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(1))


answers = [answer for _, answer in pairs]


def measure(encoder):
    queries = encoder.encode([question for question, _ in test])
    return evaluate_retrieval(queries, encoder.encode(answers), [{i} for i in order[:12]], ks=(1, 3))


encoder = new_encoder()
untrained = measure(encoder)
before = cos_sim(*(encoder.encode(list(side)) for side in zip(*test, strict=True)))
print(f"\nUntrained:\n{untrained}")
assert untrained.accuracy[1] < 0.3, "vectors of random weights know nothing of meaning"

# %% [markdown]
# ## 3. Learning from pairs
#
# `multiple_negatives_ranking_loss` asks the same question of every batch: which of these answers belongs to this
# sentence? All the other answers of the batch are the wrong ones, for nothing.
#
# **Predict:** after 40 rounds through the 36 training pairs, how often is the right answer found for the 12 sentences
# of the test, whose combination of part and fault was never seen?


# %%
def train_encoder(scale):
    encoder = new_encoder()
    optimizer = AdamW([{"params": list(encoder.parameters()), "lr": 3e-3}])
    losses = fit_pairs(
        encoder,
        train,
        optimizer,
        epochs=40,
        batch_size=12,
        scale=scale,
        rng=np.random.default_rng(2),
        progress=False,
    )
    return encoder, losses


encoder, losses = train_encoder(scale=20)
trained = measure(encoder)
after = cos_sim(*(encoder.encode(list(side)) for side in zip(*test, strict=True)))
print(
    f"\nLoss: {losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in the last; chance is ln(12) = {math.log(12):.2f}"
)
print(f"Trained:\n{trained}")
assert trained.accuracy[3] > 0.7, "it has learned which words mean the same, not which sentences go together"
assert trained.mrr > 2 * untrained.mrr, "a right answer has moved up"

# %% [markdown]
# ## 4. Search
#
# `semantic_search` compares a query with every vector of the corpus. No word of the query needs to be in the answer.
#
# **Predict:** what do the second and the third answer to "the sound is sluggish" have to do with it?

# %%
corpus = encoder.encode(answers)
for query in ("the sound is sluggish", "the bill is wrong"):
    print(f"\n{query}")
    for hit in semantic_search(encoder.encode(query), corpus, top_k=3)[0]:
        print(f"  {hit['score']:.2f}  {answers[hit['corpus_id']]}")
found = [answers[hit["corpus_id"]] for hit in semantic_search(encoder.encode("the sound is sluggish"), corpus)[0]]
assert found[0] == "audio track takes forever again", "part and fault are right"
related = [("audio" in answer) or ("forever" in answer) for answer in found[1:4]]
assert sum(related) >= 2, "next come answers that are right in one of the two"

# %% [markdown]
# ## 5. What is the scale for?
#
# A cosine is at most 1 and at least -1. As logits of a softmax these are close together: even a perfect encoder, 1 for
# the right answer and -1 for the 11 wrong ones, could not be sure.
#
# **Predict:** with scale 1 in place of 20, how low can the loss fall? Write the softmax down.

# %%
floor = math.log(1 + 11 * math.exp(-2))
_, unscaled = train_encoder(scale=1)
print(f"\nWith scale 1 the loss ends at {unscaled[-1]:.2f}; it cannot fall below ln(1 + 11 exp(-2)) = {floor:.2f}")
assert unscaled[-1] > floor, "it would take cosines beyond 1"
assert losses[-1] < floor, "with scale 20, differences of cosines count for something"

# %%
figure = Figure(figsize=(9, 4), layout="constrained")
for axes, cosines, title in zip(figure.subplots(1, 2), (before, after), ("untrained", "trained"), strict=True):
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set(title=f"{title}: cosine of sentence i and answer j", xlabel="answer j", ylabel="sentence i")
figure.colorbar(image)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"\nPicture: {PICTURE}")

# %% [markdown]
# ## Exercise
#
# Mean reciprocal rank, MRR, is a measure between "right at once" and "somewhere": for each sentence 1 / the rank of its
# right answer, and the mean of these. Compute it from cosines (N, M), in which the right answer of sentence i is column
# `right[i]`. Of equal cosines, count none that stands beside the right one as better. A solution is in
# `tests/test_tutorials.py`.


# %%
def exercise(cosines, right):
    """MRR: cosines (N, M), right (N,) -> a number from 0 to 1."""
    # your code here


def check(mrr):
    cosines = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.8], [0.3, 0.1, 0.2], [-0.5, -0.1, -0.9]])
    result = mrr(cosines, np.array([0, 1, 2, 2]))
    if result is None:
        print("\nExercise: not done yet")
        return False
    expected = (1 + 1 + 1 / 2 + 1 / 3) / 4
    assert math.isclose(result, expected), f"the ranks are 1, 1, 2, 3, so MRR is {expected:.3f}, not {result:.3f}"
    queries = encoder.encode([question for question, _ in test])
    ours = evaluate_retrieval(queries, corpus, [{i} for i in order[:12]], ks=(48,)).mrr
    assert math.isclose(mrr(cos_sim(queries, corpus), order[:12]), ours, rel_tol=1e-6), "on the test it differs"
    print("\nExercise: right")
    return True


check(exercise)
