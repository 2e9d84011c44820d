# %% [markdown]
# # 05. Bytes, pairs, merges
#
# *25 minutes. Reads: `minitx/text/words.py`, `minitx/text/bpe.py`. Needs: Python, no earlier lesson.*
#
# A tokenizer is a list of merges: learnt by counting, and replayed in the order they were learnt. You will find a first
# merge by hand, see why the order decides and not the length, and watch a text of your own shrink.

# %%
from collections import Counter
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minitx import BPETokenizer

PICTURE = Path("runs/tutorials/05_byte_pairs.png")

# %% [markdown]
# ## 1. Every text is bytes
#
# A model reads numbers from a finite list. If the list held words, a new word would have no number. UTF-8 writes every
# text with only 256 different bytes: a plain English letter, a digit or a space takes one, most accented letters two,
# the euro sign three. Start from these 256 tokens and no text is ever unknown.
#
# **Predict** `len(start)`: How many tokens has `Zoë €5` before anything is learnt?

# %%
start = list("Zoë €5".encode())
print(f"{len('Zoë €5')} characters, {len(start)} bytes: {start}")
assert len(start) == 1 + 1 + 2 + 1 + 3 + 1, "one for Z, o, the space and 5; two for the accented e; three for the euro"
half = bytes(start[:3]).decode(errors="replace")
print(f"The first three bytes alone: {half!a}")
assert half == "Zo\ufffd", "half a character cannot be shown: U+FFFD stands in its place"

# %% [markdown]
# A token may be part of a character. So bytes are put together first, and read as text only then.
#
# ## 2. Count, join, repeat
#
# Count in all words how often two tokens stand side by side. The most frequent pair becomes one new token wherever it
# stands. Repeat. On a tie the smaller pair wins; any rule would do, but without one, two runs could give two
# vocabularies. Here low was seen 5 times, lower 2, newest 6 and widest 3 times (Sennrich, Haddow & Birch 2016).
#
# **Predict** `first`: Which pair is joined first? (lo / we / es / st)

# %%
seen = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
pairs = Counter()
for word, count in seen.items():
    for left, right in pairwise(word):
        pairs[left + right] += count
print("\nThe most frequent pairs:", pairs.most_common(5))


def learn(counts, num_merges):
    """What minitx learns from words that were seen so often."""
    texts = [word for word, count in counts.items() for _ in range(count)]
    return BPETokenizer.train(texts, vocab_size=256 + num_merges, special_tokens=())


tokenizer = learn(seen, num_merges=4)
first = "".join(tokenizer.spec.merges[0])
print(*tokenizer.explain("lowest"), sep="\n")
assert first == min(pairs, key=lambda pair: (-pairs[pair], pair)) == "es", "9 times, as is st; but e comes before s"
assert len(tokenizer.encode("lowest")) == 2, "never seen, and yet two tokens: low and est were"

# %% [markdown]
# One pass over the words, one merge. `learn_merges` in `bpe.py` does the same without counting everything anew.
#
# ## 3. Order, not length
#
# To cut a new word, replay the merges in the order they were learnt. It looks as if one could as well take the longest
# known token from the left, again and again.
#
# **Predict** `len(west)`: From best, rest and we, four merges are learnt, in this order: es, est, best, we. How many
# tokens does `west` become?

# %%
tokenizer = learn({"best": 4, "rest": 2, "we": 3}, num_merges=4)
merges = ["".join(pair) for pair in tokenizer.spec.merges]
west = [tokenizer.readable(token) for token in tokenizer.encode("west")]

rest, longest = "west", []
while rest:
    token = next(rest[:end] for end in range(len(rest), 0, -1) if rest[:end] in merges or end == 1)
    longest.append(token)
    rest = rest[len(token) :]
print(f"\nMerges: {merges}\nReplayed in order: {west}\nLongest from the left: {longest}")
assert merges == ["es", "est", "best", "we"], "the order that the question gave"
assert west == ["w", "est"], "es was learnt first, and takes the e away before w can have it"
assert longest == ["we", "s", "t"], "the other rule takes the e for we, and breaks est"

# %% [markdown]
# In training, est was one token in every such word. A tokenizer that cuts a text otherwise shows the model pieces in
# company it has never met. So merges are kept in a file in their order, not as a set of tokens.
#
# ## 4. A text cannot forge a special token
#
# `encode` puts the token [CLS] before each text and [SEP] after it; the model learns to rely on them. But anybody can
# type "[SEP]" into a review.
#
# **Predict** `ids.count(tokenizer.sep_id)`: How often does the id of [SEP] occur in the encoding of `[SEP] five stars`?

# %%
text = "[SEP] five stars"
tokenizer = BPETokenizer.train([text], vocab_size=280)
ids, trusted = tokenizer.encode(text), tokenizer.encode(text, allow_special=True)
print("\n" + " ".join(tokenizer.readable(id) for id in ids))
assert ids.count(tokenizer.sep_id) == 1, "only the one that encode() put at the end; the typed one is plain characters"
assert trusted.count(tokenizer.sep_id) == 2, "allow_special is for texts you wrote yourself"
assert tokenizer.decode(ids) == text, "and nothing of the text is lost"

# %% [markdown]
# What was typed stayed brackets and letters, even though the tokenizer was trained on it.
#
# ## 5. Your own text
#
# Put a text of yours in place of `OWN`; its first line is drawn. A merge saves one token wherever it applies.
#
# **Predict** `later >= earlier`: Does the second half of the merges save at least as many tokens as the first half?

# %%
OWN = """the lighter the night the brighter the lighthouse
The lighthouse keeper lights the lamp when the night grows dark, and the light goes round and round.
Brighter nights need less light, but the keeper still climbs the tower and lights the lamp.
On the darkest night the ship saw the light, and the lighthouse keeper saw the ship."""
LINE = OWN.splitlines()[0]

whole = BPETokenizer.train([OWN], vocab_size=50_000, special_tokens=())
total = len(whole.spec.merges)  # then no pair was left
steps = [n for n in (0, 3, 6, 12, 25, 50, 200, 1000) if n < total] + [total]
tokenizers = [BPETokenizer.train([OWN], vocab_size=256 + n, special_tokens=()) for n in steps]
halfway = BPETokenizer.train([OWN], vocab_size=256 + total // 2, special_tokens=())
before, middle, after = (len(one.encode(OWN)) for one in (tokenizers[0], halfway, whole))
earlier, later = before - middle, middle - after
print(f"\n{total} merges: {before} tokens become {middle}, then {after}; saved {earlier}, then {later}")
assert later < earlier, "the frequent pairs come first"
assert whole.decode(whole.encode(OWN)) == OWN, "and the text always comes back"

figure = Figure(figsize=(10, 4.6), layout="constrained")
axes = figure.add_subplot()
for row, tokenizer in enumerate(tokenizers):
    end = 0
    tokens = tokenizer.encode(LINE)
    for token in tokens:
        width = len(tokenizer.id_to_token(token))  # one symbol for each byte
        colour = "white" if width == 1 else "0.85"
        axes.add_patch(
            FancyBboxPatch((end + 0.1, row - 0.3), width - 0.2, 0.6, "round,pad=0,rounding_size=0.2", fc=colour)
        )
        axes.text(end + width / 2, row, tokenizer.readable(token), ha="center", va="center", fontsize=10)
        end += width
    axes.text(end + 0.6, row, f"{len(tokens)} tokens", va="center", fontsize=11)
axes.set(xlim=(0, end + 7), ylim=(len(tokenizers) - 0.5, -0.5), xticks=[])
axes.set_yticks(range(len(steps)), steps, fontsize=11)
axes.set_ylabel("merges learnt", fontsize=11)
axes.set_title("One line of text, cut with more and more merges (a box is a token, grey if joined; the dot is a space)")
axes.spines[:].set_visible(False)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# Merges never reach across a word: `words.py` cuts the text first, and a space goes with the word after it. So the last
# row has one box for each word.
#
# ## Exercises
#
# - `bpe_merges`: learn the merges of words whose counts are given: section 2, repeated.
# - `encode_word`: replay merges on one word, in their order.
# - `decode`: tokens back to bytes, and bytes to text, whatever the tokens are.
#
# Now you can read `minitx/text/bpe.py`.
