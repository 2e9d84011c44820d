# %% [markdown]
# # 06. Ids become vectors, and places
#
# *25 minutes. Reads: `minitx/nn/layers.py`, `minitx/nn/position.py`. Needs: lesson 05.*
#
# An id becomes a row of a table, and a row does not know its place. You will see who learns from a repeated word, what
# is blind to the order of words, and how a wave for each place mends it.

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx.learn import plain
from minitx.nn.layers import Embedding
from minitx.nn.position import SinusoidalPosition, sinusoidal_table

PICTURE = Path("runs/tutorials/06_positions.png")
D = 64

# %% [markdown]
# ## 1. A row for each id
#
# `Embedding` holds a table with one row of D numbers for each id, and looks rows up. There is nothing to it but the
# derivative: what comes back for a token goes to the row it was taken from.
#
# **Predict** `float(table.weight.grad[NO, 0])`: The text is "no no no man", and the loss is the sum of all
# numbers looked up, so that each of them receives the derivative 1. What does the first number in the row of "no"
# receive?

# %%
words = ["dog", "bites", "man", "no"]
DOG, BITES, MAN, NO = range(4)
table = Embedding(len(words), D, std=1 / math.sqrt(D), rng=np.random.default_rng(0))

x = table(np.array([NO, NO, NO, MAN]))
x.sum().backward()
for word, row in zip(words, table.weight.grad, strict=True):
    print(f"{word:6} receives {row[0]:.0f}")
assert (x.data[0] == table.weight.data[NO]).all(), "to look up is to copy a row"
assert table.weight.grad[NO, 0] == 3, "the row was used three times: three contributions, added"
assert (table.weight.grad[DOG] == 0).all(), "what is not in the text learns nothing from it"

# %% [markdown]
# The same rule as for a number that is used several times. `dw[ids] += dy` looks right in NumPy and keeps one of the
# three: it reads the row once, adds, and writes three times.
#
# ## 2. Two words swapped
#
# The simplest vector for a text is the mean of its token vectors.
#
# **Predict** `mean_differs`: "dog bites man" and "man bites dog": does the mean of the token vectors differ?


# %%
def vectors(*ids):
    """(1, T, D): the rows of these ids, a batch of one text."""
    return table(np.array([ids]))


def mean(x):
    """(D,): one vector for the text."""
    return x.data[0].mean(axis=0)


dog_first, man_first = vectors(DOG, BITES, MAN), vectors(MAN, BITES, DOG)
mean_differs = not np.allclose(mean(dog_first), mean(man_first), atol=1e-6)
print(f"\nThe mean differs: {mean_differs}")
assert not mean_differs, "a sum does not depend on the order of its terms"

# %% [markdown]
# A mean is too simple, one might say. Attention, of which the next lesson is all about, lets each token gather from all
# others, more from those that fit it. Let every token do that, and only then take the mean.
#
# **Predict** `attention_differs`: Does the vector differ now?


# %%
def attend(x):
    """(1, T, D) -> (1, T, D): a new vector for each token, mixed from all of them."""
    return plain.attention(x, x, x, num_heads=1)


attention_differs = not np.allclose(mean(attend(dog_first)), mean(attend(man_first)), atol=1e-6)
print(f"The mean after attention differs: {attention_differs}")
dogs = attend(dog_first).data[0, 0], attend(man_first).data[0, 2]
assert np.allclose(*dogs, atol=1e-6), "dog gathers from the same three vectors, wherever it stands"
assert not attention_differs, "so the three new vectors are the same three, in another order"

# %% [markdown]
# No clever attention would help: it works on a set. The order has to be in the vectors. `SinusoidalPosition` adds to
# each vector the code of its place, a row of a fixed table; `LearnedPosition` would add a row that is learnt.
#
# **Predict** `places_differ`: Each vector has the code of its place now. Take the mean at once, without attention: does
# it differ between the two sentences?

# %%
position = SinusoidalPosition(max_length=100, dim=D)
dog_first, man_first = position(dog_first), position(man_first)
places_differ = not np.allclose(mean(dog_first), mean(man_first), atol=1e-5)
print(f"With places, the mean differs: {places_differ}")
assert not places_differ, "the same words and the same places were added up, only in other pairs"

# %% [markdown]
# A sum forgets which code came with which word.
#
# **Predict** `both_differ`: Codes of the places first, then attention, then the mean: does it differ?

# %%
both_differ = not np.allclose(mean(attend(dog_first)), mean(attend(man_first)), atol=1e-5)
print(f"With places, the mean after attention differs: {both_differ}")
assert both_differ, "whom a token finds similar now depends on where both stand"

# %% [markdown]
# It takes both: codes that say where, and something that compares word and place together before it sums.
#
# ## 3. What the codes know
#
# Columns 2i and 2i + 1 hold the sine and cosine of t / 10000^(2i / D) at place t: quick waves first, slow ones last,
# like the hands of many clocks. The product of two codes says how similar two places look.
#
# **Predict** `farther_on`: Take places 3 and 8, and compare places 53 and 58. The similarity farther on is
# (smaller / the same / larger).

# %%
codes = sinusoidal_table(max_length=100, dim=D)
similarity = codes @ codes.T
near, far = similarity[3, 8], similarity[53, 58]
farther_on = "the same" if np.isclose(near, far, rtol=1e-4) else "smaller" if far < near else "larger"
print(f"\nPlaces 3 and 8: {near:.4f}; places 53 and 58: {far:.4f}; a place with itself: {similarity[3, 3]:.4f}")
assert farther_on == "the same", "cos a cos b + sin a sin b = cos(a - b): only the distance is left of two places"
assert np.allclose(np.diag(similarity), D / 2), "no place counts more: sin^2 + cos^2 = 1 in each of D / 2 pairs"

# %% [markdown]
# So "three tokens back" looks the same everywhere in a text, and a model can learn it once. The picture has the whole
# table, and its similarities over the distance.

# %%
figure = Figure(figsize=(11, 4.4), layout="constrained")
left, right = figure.subplots(1, 2)
image = left.imshow(codes[:60], cmap="gray", aspect="auto", vmin=-1, vmax=1, interpolation="nearest")
figure.colorbar(image, ax=left, ticks=[-1, 0, 1], label="value of the code")
left.set(xlabel="column (even: sine, odd: cosine), from quick waves to slow ones", ylabel="place in the text")
left.set_title("The code of a place is a row of this table")
distance = np.arange(-40, 41)
right.plot(distance, similarity[50, 50 + distance], color="0.6", zorder=0)
for place, marker, step, label in (
    (45, "o", distance[::4], "from place 45"),
    (55, "x", distance[2::4], "from place 55"),
):
    right.plot(step, similarity[place, place + step], marker, color="black", fillstyle="none", label=label)
right.set(xlabel="distance to another place, in tokens", ylabel="similarity (product of the two codes)")
right.set_title("Only the distance counts, and near places look alike")
right.set_ylim(bottom=0)
right.grid(alpha=0.3)
right.legend()
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# - `embedding_gradient`: give every row the sum of what came back for it.
# - `sinusoidal_table`: the table of the picture, from the formula of section 3.
#
# Now you can read `minitx/nn/position.py`, and in `minitx/nn/layers.py` the class `Embedding`.
