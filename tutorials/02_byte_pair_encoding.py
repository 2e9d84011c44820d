"""02. How does text become numbers? Byte-pair encoding, learnt in the open.

You learn how a vocabulary of word pieces is made by counting, why it starts from bytes, why a space is spelt so oddly,
how special tokens are kept out of reach of a text, and what leaks when a tokenizer has seen the test split.

Open beside it:  minitx/text/bpe.py, then words.py for what a word is
Run it:          python tutorials/02_byte_pair_encoding.py      (about 3 seconds)
Picture:         runs/tutorials/02_byte_pair_encoding.png, below the directory you run it from
Data:            synthetic reviews, written by minitx/data/samples.py; no download
"""

# %%
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from minitx import BPETokenizer, InputError
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import split
from minitx.text.words import BYTE_SYMBOLS, count_words

PICTURE = Path("runs/tutorials/02_byte_pair_encoding.png")

# %% [markdown]
# ## 1. An example to check by hand
#
# Start with letters as tokens. Count how often each pair of neighbours occurs, join the most frequent pair into one new
# token wherever it stands, and repeat. On a tie the pair whose tokens are older wins; any rule would do, but there must
# be one, or two runs would give two vocabularies.


# %%
def join(tokens, left, right):
    """The same tokens with every `left`, `right` made one, from left to right."""
    joined = []
    for token in tokens:
        if joined and joined[-1] == left and token == right:
            joined[-1] = left + right
        else:
            joined.append(token)
    return joined


def learn(word_counts, alphabet, num_merges):
    """The pairs to join, in order. `word_counts`: word -> how often it occurs."""
    age = {token: i for i, token in enumerate(alphabet)}
    words = {word: list(word) for word in word_counts}
    merges = []
    for _ in range(num_merges):
        pairs = Counter()
        for word, tokens in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += word_counts[word]
        if not pairs:
            break
        left, right = min(pairs, key=lambda pair: (-pairs[pair], age[pair[0]], age[pair[1]]))
        merges.append((left, right))
        age[left + right] = len(age)
        words = {word: join(tokens, left, right) for word, tokens in words.items()}
    return merges


# %% [markdown]
# Four words, from the paper that brought the method to language (Sennrich, Haddow & Birch 2016): low is seen 5 times,
# lower 2, newest 6 and widest 3 times.
#
# **Predict:** which two letters are joined first? And does "lowest", which was never seen, become six tokens?

# %%
seen = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
merges = learn(seen, alphabet="abcdefghijklmnopqrstuvwxyz", num_merges=4)
print("merges:", ", ".join(f"{left} + {right}" for left, right in merges))
assert merges[0] == ("e", "s"), "6 times in newest and 3 in widest; so is s + t, but e is older than s"

texts = [word for word, count in seen.items() for _ in range(count)]
tokenizer = BPETokenizer.train(texts, vocab_size=256 + 4, special_tokens=())
print("minitx on 'lowest':")
print(*tokenizer.explain("lowest"), sep="\n")
assert tokenizer.spec.merges == merges, "minitx learns the same merges"
assert len(tokenizer.encode("lowest")) == 2, "low was joined in low and lower, est in newest and widest"

# %% [markdown]
# ## 2. The same on reviews, and how long it takes
#
# A text is first cut into words, and merges stay within words; a space belongs to the word after it. `learn` counts all
# pairs again after every merge. `learn_merges` in `bpe.py` updates the counts around the places that changed.
#
# **Predict:** do the two agree on 150 merges of real size? How many times faster is the careful one?

# %%
data, _ = label_reviews(synthetic_reviews(4000))
train, _, test = split(data)
words = count_words(train.texts)
spelt = Counter({"".join(BYTE_SYMBOLS[byte] for byte in word.encode()): count for word, count in words.items()})

start = time.perf_counter()
merges = learn(spelt, sorted(BYTE_SYMBOLS), num_merges=150)
seconds = time.perf_counter() - start
start = time.perf_counter()
tokenizer = BPETokenizer.train(train.texts, vocab_size=256 + 150, special_tokens=())
faster = seconds / (time.perf_counter() - start)
print(f"\n{len(train):,} synthetic reviews, {len(words):,} different words, 150 merges")
print(f"counting anew {seconds:.2f} s; minitx, reading included, {faster:.0f} times faster")
assert tokenizer.spec.merges == merges, "the same merges in the same order"
assert faster > 2, "and it should be faster by far"

# %% [markdown]
# ## 3. Bytes, and the odd spelling of a space
#
# Had we started from the letters seen in training, a new letter would have no token. UTF-8 writes every text as bytes,
# and there are only 256 of those: start from them, and nothing is ever unknown.
#
# A vocabulary has to be written to a file and read by people, but many bytes have no visible character: the space, the
# line end, the 0. GPT-2 gave each of these the next unused character from U+0100 on, and everybody has kept to that.
#
# **Predict:** the space is byte 32 and the bytes 0 to 31 are invisible too. Which character stands for a space?

# %%
tokenizer = BPETokenizer.train(train.texts, vocab_size=1000)
(good,) = tokenizer.encode(" good", add_special_tokens=False)
print(f"\n' good' is one token, spelt {tokenizer.id_to_token(good)!a} in the file; readable() shows it as ", end="")
print(f"{tokenizer.readable(good)!r}")
assert tokenizer.id_to_token(good) == chr(0x100 + 32) + "good", "U+0120, a G with a dot above: not part of the word"

# %% [markdown]
# **Predict:** how many bytes has each of these texts, and is each of them the same after encoding and decoding?

# %%
odd = {
    "thumbs up": "\U0001f44d",
    "a family, joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e, combining accent": "e\u0301",
    "an accent on nothing": "\u0301",
    "NUL": "a\0b",
    "spaces and line ends": "  two \r\n\t ",
    "nothing": "",
}
print(f"\n{'':22}characters  bytes  tokens")
for name, text in odd.items():
    ids = tokenizer.encode(text, add_special_tokens=False)
    print(f"{name:22}{len(text):10}  {len(text.encode()):5}  {len(ids):6}")
    assert tokenizer.decode(ids) == text, f"{text!a} came back as {tokenizer.decode(ids)!a}"
assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in data.texts), "so do all the reviews"

try:
    tokenizer.encode("\ud83d")
    refused = "nothing was refused"
except InputError as error:
    refused = str(error)
print(f"The one exception: {refused}")
assert "surrogate" in refused, "half a character has no UTF-8 form at all, so no tokenizer can keep it"

# %% [markdown]
# ## 4. A text cannot forge a special token
#
# [CLS] and [SEP] mark where a text begins and ends; the model learns to rely on them. But anyone can type "[SEP]" into
# a review.
#
# **Predict:** how many times does the id of [SEP] occur in the encoding of "[SEP] five stars"?

# %%
text = "[SEP] five stars"
sep = tokenizer.sep_id
ids, trusted = tokenizer.encode(text), tokenizer.encode(text, allow_special=True)
print(f"\n{text!r} holds the id of [SEP] {ids.count(sep)} time; with allow_special=True {trusted.count(sep)} times")
print("  " + " ".join(tokenizer.readable(id) for id in ids))
assert ids.count(sep) == 1, "only the one that encode() put at the end; the typed one is plain characters"
assert trusted.count(sep) == 2, "allow_special is for texts you wrote yourself"
assert tokenizer.decode(ids) == text, "and nothing of the text is lost"

# %% [markdown]
# ## 5. How large a vocabulary, and learnt on what?
#
# More merges make shorter sequences and a longer embedding table. We measure tokens per 100 bytes, since the reviews of
# one split may happen to be longer than those of the other. "Leaky" is a tokenizer learnt on training *and* test texts,
# which happens easily: one writes the tokenizer's cell above that of the split.
#
# **Predict:** does twice the vocabulary give half the tokens? Does the leak make test reviews look shorter or longer?


# %%
def tokens_per_100_bytes(tokenizer, texts):
    tokens = sum(map(len, tokenizer.encode_batch(texts, add_special_tokens=False)))
    return 100 * tokens / sum(len(text.encode()) for text in texts)


print("\n               train    test    test, leaky")
sizes, curves = [], {"train": [], "test": [], "test, leaky tokenizer": []}
for asked in (300, 400, 600, 1000, 2000, 4000):
    honest = BPETokenizer.train(train.texts, vocab_size=asked)
    leaky = BPETokenizer.train(train.texts + test.texts, vocab_size=honest.vocab_size)
    row = [tokens_per_100_bytes(*pair) for pair in ((honest, train.texts), (honest, test.texts), (leaky, test.texts))]
    sizes.append(honest.vocab_size)
    for values, value in zip(curves.values(), row, strict=True):
        values.append(value)
    print(f"{honest.vocab_size:5,} tokens  {row[0]:7.2f} {row[1]:7.2f} {row[2]:9.2f}")

on_train, on_test, on_test_leaky = curves.values()
assert sizes[-1] < 4000, "asked for 4,000, it stopped earlier, when no pair was left to join:"
assert all(len(honest.encode(word, add_special_tokens=False)) == 1 for word in words), "each word had become one token"
assert on_test[2] < 0.55 * on_test[0], "from 300 to 600 the tokens become half as many, or nearly,"
assert on_test[4] > 0.85 * on_test[3], "from 1,000 to 2,000 they do not: the frequent pairs came first"
assert abs(on_test[1] / on_train[1] - 1) < 0.02, "a small vocabulary holds what all reviews share"
assert on_test[-1] > 1.01 * on_train[-1], "the last merges are misspellings and rare words of the training split only"
assert on_test_leaky[-1] < 0.99 * on_test[-1], "the leaky tokenizer knows the test split's misspellings, too"
gap, leak = on_test[-1] / on_train[-1] - 1, 1 - on_test_leaky[-1] / on_test[-1]
print(f"At {sizes[-1]:,} tokens, unseen reviews take {gap:.1%} more tokens than seen ones; the leak hides {leak:.1%}.")
assert leak > gap / 2, "most of the difference between seen and unseen is gone"

# %% [markdown]
# The effect is small: these reviews are made of a short list of words, and what is new in the test split is mostly
# misspellings. That is no reason to allow it. The test split stands for texts that do not exist yet; there was a small
# difference between seen and unseen for it to show, and the leak hid most of it. To do it right costs nothing. What the
# leak does to the accuracy of a model was not measured here.

# %%
figure = Figure(figsize=(7, 4.2), layout="constrained")
axes = figure.add_subplot()
for (name, values), style in zip(curves.items(), ("-", "-", "--"), strict=True):
    axes.plot(sizes, values, style, marker="o", markersize=3, label=name)
axes.set_xscale("log")
axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
axes.minorticks_off()
axes.set_ylim(bottom=0)
axes.set_xlabel("tokens in the vocabulary")
axes.set_ylabel("tokens per 100 bytes of text")
axes.set_title(f"Most is gained early ({len(train):,} synthetic reviews)", fontsize=11)
axes.grid(alpha=0.25)
axes.legend()
inset = axes.inset_axes((0.35, 0.56, 0.28, 0.33))
for values, style in zip(curves.values(), ("-", "-", "--"), strict=True):
    inset.plot(sizes[-2:], values[-2:], style, marker="o", markersize=3)
inset.set_xticks(sizes[-2:], [f"{size:,}" for size in sizes[-2:]])
inset.set_title("the two largest, closer", fontsize=8)
inset.tick_params(labelsize=8)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercise
#
# Learning gives a list of merges; encoding a new word replays them. Write it: given a word and the merges in the order
# learnt, return the tokens. `join` from section 1 helps. Taking the longest known piece from the left, which looks
# equivalent, is not: `check` has words where it differs. A solution is in `tests/test_tutorials.py`.


# %%
def exercise(word, merges):
    """`word` a string of BYTE_SYMBOLS, `merges` a list of pairs: the tokens of the word, a list of strings."""
    # your code here


def check(encode):
    if encode("lowest", [("l", "o")]) is None:
        print("\nExercise: not done yet")
        return False
    tokenizer = BPETokenizer.train(train.texts, vocab_size=600, special_tokens=())
    for word in count_words(test.texts):
        spelling = "".join(BYTE_SYMBOLS[byte] for byte in word.encode())
        expected = [tokenizer.id_to_token(id) for id in tokenizer.encode(word)]
        found = encode(spelling, tokenizer.spec.merges)
        assert found == expected, f"{word!a} is {expected!a}, and came out as {found!a}"
    print("\nExercise: right")
    return True


check(exercise)
