# %% [markdown]
# # 15. Two processes, one model
#
# *30 minutes. Reads: `minitx/training/ranks.py`, `minitx/training/parallel.py`. Needs: lessons 10 and 14.*
#
# When one process is too slow, several share each batch. Every one has a copy of the weights and takes some rows; their
# gradients are added up, and all take the same step. Of the model, nothing else travels. Here the processes are threads
# that hand things to each other, so that nothing must be installed; at the end you start real ones.

# %%
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
from matplotlib.figure import Figure

from minitx import SGD, BPETokenizer, EncoderConfig, MultiTaskModel, SentenceEncoder, Tensor
from minitx.autograd.engine import Sums
from minitx.data.batches import pad
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.learn.plain import log_softmax
from minitx.training.parallel import Batch, DataParallel
from minitx.training.ranks import Alone

PICTURE = Path("runs/tutorials/15_two_processes.png")
rng = np.random.default_rng(0)

# %% [markdown]
# ## A mean of means
#
# Eight rows, dealt to two processes. Three labels are missing (-100), and all three are with the second process. Each
# computes the mean loss of the rows that it has labels for.
#
# **Predict** `fair`: is the mean of the two losses the loss of the batch?

# %%
scores, labels = rng.normal(0, 2, (8, 3)), np.array([0, 1, 2, 1, -100, -100, 0, -100])


def losses_of(rows):
    rows = [row for row in rows if labels[row] >= 0]
    return -log_softmax(Tensor(scores)).data[rows, labels[rows]]


first, second, whole = losses_of(range(4)), losses_of(range(4, 8)), losses_of(range(8))
fair = bool(np.isclose((first.mean() + second.mean()) / 2, whole.mean()))
print(f"Mean of means {(first.mean() + second.mean()) / 2:.3f}, of the batch {whole.mean():.3f}")
assert not fair, "one row of the second process counts as much as four of the first"
assert np.isclose((first.sum() + second.sum()) / len(whole), whole.mean()), "add up sums; divide by everybody's count"

# %% [markdown]
# So everybody must divide by the count of the whole batch. It is known: each process has all labels of a batch, though
# it computes with its own rows.
#
# ## Who reads what
#
# In an epoch every row is to be read once. Two processes each shuffle 10,000 rows *with a seed of their own* and read
# every second row of their order: the first those at 0, 2, 4 and so on, the other those at 1, 3, 5.
#
# **Predict** `never`: what share of the rows is read by nobody?

# %%
N, SIZE = 10_000, 2
own = [np.random.default_rng(rank).permutation(N)[rank::SIZE] for rank in range(SIZE)]
shared = [np.random.default_rng(7).permutation(N)[rank::SIZE] for rank in range(SIZE)]
never = 1 - len(np.union1d(*own)) / N
print(f"Seeds of their own: {never:.1%} are never read, {len(np.intersect1d(*own)) / N:.1%} twice")
assert abs(never - 0.25) < 0.02, "half are missed by the one, and of these half by the other"
assert len(np.union1d(*shared)) == N, "with one seed for all, every row is read once"

# %% [markdown]
# ## The same training
#
# `training.ranks.Alone` is all that the trainer knows of other processes: `share` hands something small to everybody,
# `add` adds up gradients. Here is one whose processes are threads that meet at a barrier; MPI's is beside `Alone`.
#
# Two processes train a model for an epoch, each on half of every batch; another process trains the same one alone.
#
# **Predict** `gap`: how far apart are the losses: not at all, by rounding (less than 0.0001), or by more? (nothing /
# rounding / more)


# %%
class Together(Alone):
    def __init__(self, rank, table, barrier):
        self.rank, self.size, self.table, self.barrier = rank, len(table), table, barrier

    def share(self, item):
        self.table[self.rank] = item
        self.barrier.wait()  # all have put theirs on the table
        found = list(self.table)
        self.barrier.wait()  # all have taken everything
        return found

    def add(self, sums, parameters):
        total = Sums()
        for gradients in self.share([np.asarray(sums[parameter]) for parameter in parameters]):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                total.add(parameter, gradient)
        return total


ROWS = 1024
data, _ = label_reviews(synthetic_reviews(1300))
tokenizer = BPETokenizer.train(data.texts, vocab_size=400)
ids, mask = pad(tokenizer.encode_and_cut(data.texts, 24)[0], tokenizer.pad_id)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_heads": 4, "max_length": 24, "dropout": 0.0}


def train(ranks, batch_size):
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes)
    encoder = SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))
    model = MultiTaskModel(encoder, data.classes, dropout=0.0, rng=np.random.default_rng(1))
    optimizer, losses = SGD(model.parameters(), lr=0.05), []
    with DataParallel(model, ranks.size, ranks=ranks) as parallel:
        for rows in np.split(np.random.default_rng(7).permutation(ROWS), ROWS // batch_size):
            optimizer.zero_grad()
            labels = {head: of[rows] for head, of in data.labels.items()}
            losses.append(sum(parallel.backward(Batch(ids[rows], mask[rows], labels, rows)).losses.values()))
            optimizer.step()
    return np.array(losses)


def by(size, batch_size=16):
    table, barrier = [None] * size, Barrier(size, timeout=60)
    with ThreadPoolExecutor(size) as pool:
        first, *_ = pool.map(lambda rank: train(Together(rank, table, barrier), batch_size), range(size))
    return first


alone, together = train(Alone(), 16), by(2)
furthest = np.abs(alone - together).max()
gap = "nothing" if furthest == 0 else "rounding" if furthest < 1e-4 else "more"
print(f"{len(alone)} steps; the first loss is {alone[0]:.3f}; furthest apart by {furthest:.1e}")
assert gap == "rounding", "the same terms, added up in another order"

# %% [markdown]
# ## A larger batch is another training
#
# Instead of sharing a batch of 16, give each of four processes 16 rows: a batch of 64, and a quarter of the steps for
# an epoch, which is why people do it. Nothing else is changed.
#
# **Predict** `mean_loss`: averaged over the epoch, is the loss higher, lower, or the same to 0.05?

# %%
larger = by(4, batch_size=64)
a, b = alone.mean(), larger.mean()
mean_loss = "higher" if b > a + 0.05 else "lower" if b < a - 0.05 else "the same"
print(f"{len(alone)} steps: mean loss {a:.3f}; {len(larger)} steps: {b:.3f}")
assert mean_loss == "higher", "the same rate, but a quarter of the steps: it has to be found anew"

# %% [markdown]
# ## What travels
#
# `Together` hands every gradient to everybody, which with p processes is p - 1 gradients sent by each. In a *ring*, as
# real ones do it, gradients are cut into p pieces. A piece goes round once to be added up, and once more to be handed
# out. Of three processes, each sends two thirds of a gradient in the first round, and two thirds in the second.
#
# **Predict** `travels(8)`: of eight processes, each sends how many numbers, as a multiple of those in a gradient?


# %%
def travels(p):
    return 2 * (p - 1) / p


def speedup(p, seconds=1.0, gradient=90e6, bandwidth=1.25e9, latency=30e-6):
    return seconds / (seconds / p + travels(p) * gradient / bandwidth + 2 * (p - 1) * latency)


print(f"Each sends {travels(8)} times its gradient; with 1,000 processes {travels(1000)}: less than 2, however many")
assert travels(8) == 1.75, "seven pieces of eight, twice"

# %% [markdown]
# `speedup` adds to the computing, which is divided by p, what does not get less: a gradient of 90 MB, all of MiniLM's,
# over 10 Gbit/s. A step takes one process a second.
#
# **Predict** `gain`: 64 processes are about how many times as fast as one? (six / thirty / sixty)

# %%
gain = min({"six": 6, "thirty": 30, "sixty": 60}.items(), key=lambda name: abs(name[1] - speedup(64)))[0]
print("Processes, times as fast:", ", ".join(f"{p}: {speedup(p):.1f}" for p in (1, 2, 4, 16, 64)))
assert gain == "six", "with so few rows for each, most of a step is waiting for the ring"

# %%
figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
read = 64 * np.arange(1, len(larger) + 1)
for losses, style, label in (
    (alone, {"color": "0.6", "linewidth": 5}, "one process, batches of 16"),
    (together, {"color": "black", "linewidth": 1}, "two processes, batches of 16"),
    (larger, {"color": "black", "linestyle": "--"}, "four processes, batches of 64"),
):
    left.plot(read, losses.reshape(len(larger), -1).mean(axis=1), label=label, **style)
left.set(title="Loss during an epoch", xlabel="rows read", ylabel="mean of 64 rows, both heads")
p = 2 ** np.arange(11)
right.plot(p, p, ":", color="black", label="if nothing travelled")
for bits, style in ((100e9, "-"), (10e9, "--")):
    times = [speedup(n, bandwidth=bits / 8) for n in p]
    right.plot(p, times, style, color="black", label=f"{bits / 1e9:.0f} Gbit/s")
right.set(title="How many times as fast (a model)", xlabel="processes", xscale="log", yscale="log", ylabel="times")
for axes in (left, right):
    axes.legend(fontsize=8, frameon=False)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# `rows_of(rank, size, n, batch_size, seed)`: who reads what.
# `ring_sum(arrays)`: the two rounds of a ring, and what each process sends.
# `joint_loss(sums, counts)`: the mean of means, mended.
#
# Then real processes. `pip install mpi4py mpich`, and predict first which two of these have equal weights to the last
# bit: `minitx train --threads 1 --out a`, `minitx train --threads 2 --out b`, `mpiexec -n 2 minitx train --threads 2
# --out c` (`sha256sum */model.safetensors` tells; `docs/several-processes.md` says why).
# You can now read `minitx/training/ranks.py`, where gradients leave in buckets, and looked-up rows as rows.
