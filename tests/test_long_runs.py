"""Long runs and runs side by side: no bit depends on another thread, and whatever ends them leaves nothing behind."""

import gc
import os
import subprocess
import sys
import tomllib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from test_context import blas_threads, found_beside, in_threads, run_alone
from test_trainer import make, rows_of, settings

from minitx.app.embed import embed_file
from minitx.app.prepare import prepare
from minitx.app.settings import Experiment
from minitx.data.batches import TokenisedRows, length_batches
from minitx.data.split import LabelledTexts
from minitx.evaluation.evaluate import evaluate
from minitx.models import cooccurrence
from minitx.models.config import EncoderConfig
from minitx.models.cooccurrence import cooccurrence_vectors
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.system import one_blas_thread
from minitx.text.bpe import BPETokenizer
from minitx.training.average import WeightAverage
from minitx.training.baseline import BagOfWords
from minitx.training.optim import clip_grad_norm_
from minitx.training.parallel import DataParallel
from minitx.training.trainer import fit

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "num_layers": 1, "vocab_size": 400}


def bits(model):
    return [parameter.data.tobytes() for parameter in model.parameters()]


# -- what other threads do changes no bit ----------------------------------------------------------------------------


def company(n=400, tokens=600):
    rng = np.random.default_rng(0)
    return [rng.integers(tokens, size=size).tolist() for size in rng.integers(5, 40, size=n)]


def test_cooccurrence_has_the_same_bits_inside_a_limit_that_another_thread_holds():
    found = cooccurrence_vectors(company(), 600, 48, rng=np.random.default_rng(0))
    with one_blas_thread():
        again = cooccurrence_vectors(company(), 600, 48, rng=np.random.default_rng(0))
    assert found.tobytes() == again.tobytes()


@pytest.mark.parametrize("name", ["qr", "svd"])
def test_cooccurrence_decomposes_with_one_blas_thread(name, monkeypatch):
    """Whatever the processor: on some, the bits of a small matrix are the same with two."""
    seen, real = set(), getattr(np.linalg, name)
    monkeypatch.setattr(np.linalg, name, lambda *a, **k: seen.update(blas_threads()) or real(*a, **k))
    cooccurrence_vectors(company(50), 600, 8, rng=np.random.default_rng(0))
    assert seen == {1}


def test_cooccurrence_has_the_same_bits_with_any_number_of_cores(monkeypatch):
    monkeypatch.setattr(cooccurrence, "ROWS", 64)
    found = set()
    for cores in (1, 2, 5):
        monkeypatch.setattr(cooccurrence, "usable_cores", lambda cores=cores: cores)
        found.add(cooccurrence_vectors(company(100), 600, 8, rng=np.random.default_rng(0)).tobytes())
    assert len(found) == 1


def prepared():
    job = prepare(Experiment(seed=1, **TINY), log=lambda line: None)
    return bits(job.model), job.rows["train"].sequences


def test_what_a_training_starts_from_is_the_same_beside_another():
    """Split, tokenizer and first weights."""
    alone = prepared()
    with one_blas_thread():
        assert prepared() == alone


def trained(seed):
    rng = np.random.default_rng(seed)
    model, optimizer = make(seed, dropout=0.2)
    epochs = fit(model, rows_of(rng, 64), rows_of(rng, 16), optimizer, settings(2, threads=2), rng=rng)
    return bits(model), [epoch.train["chance"].loss for epoch in epochs]


def test_trainings_in_three_threads_give_each_the_bits_of_that_training_alone():
    alone = [trained(seed) for seed in range(3)]
    for _ in range(3):
        assert in_threads(*[lambda seed=seed: trained(seed) for seed in range(3)]) == alone


def everything_else():
    """Name -> a function of no arguments whose result can be compared, for all that may run beside a training."""
    texts = [f"the {word} app {number} crashes, {word * 3}!" for number, word in enumerate("abcdefghij" * 8)]
    labels = {"odd": np.arange(80) % 2}
    classes = {"odd": ("no", "yes")}
    tokenizer = BPETokenizer.train(texts, vocab_size=300)
    config = EncoderConfig(tokenizer.vocab_size, hidden_size=16, num_heads=2, num_layers=1, intermediate_size=32)
    rng = np.random.default_rng(0)
    model = MultiTaskModel(SentenceEncoder(config, tokenizer, rng=rng), classes, rng=rng)
    rows = TokenisedRows(model.encoder.tokenize(texts), labels)
    data = LabelledTexts(texts, labels, classes, ids=[None] * 80)
    return {
        "encode": lambda: model.encoder.encode(texts).tobytes(),
        "predict": lambda: model.predict_proba(texts)["odd"].tobytes(),
        "evaluate": lambda: evaluate(model, rows)["odd"].loss,
        "BagOfWords.fit": lambda: bits(BagOfWords.fit(data)),
        "BPETokenizer.train": lambda: BPETokenizer.train(texts, vocab_size=300).encode_batch(texts),
        "cooccurrence": lambda: cooccurrence_vectors(rows.sequences, 300, 8, rng=np.random.default_rng(0)).tobytes(),
    }


def test_whatever_runs_beside_a_training_has_the_same_bits_and_so_has_the_training():
    works = everything_else()
    alone, expected = {name: work() for name, work in works.items()}, trained(0)
    trainings = []
    found = found_beside(lambda: trainings.append(trained(0)), lambda: [{n: w() for n, w in works.items()}], threads=3)
    assert found == [alone] * 3
    assert trainings
    assert all(training == expected for training in trainings)


# -- errors and Ctrl-C ------------------------------------------------------------------------------------------------

# Without the imports of the test files, some of which take seconds.
START = """
import os, signal, sys, threading, time
import numpy as np
from threadpoolctl import threadpool_info
from minitx import AdamW, EncoderConfig, Module, MultiTaskModel, SentenceEncoder
from minitx.data.batches import TokenisedRows, length_batches
from minitx.models import encoding
from minitx.training.parallel import DataParallel
from minitx.training.trainer import TrainingSettings, fit

def rows_of(n):
    rng = np.random.default_rng(n)
    sequences = [rng.integers(1, 20, size=length).tolist() for length in rng.integers(1, 7, size=n)]
    return TokenisedRows(sequences, {"mood": rng.integers(0, 3, size=n)})

def make():
    rng = np.random.default_rng(0)
    config = EncoderConfig(20, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, dropout=0.3)
    return MultiTaskModel(SentenceEncoder(config, rng=rng), {"mood": 3}, rng=rng)

def train(model):
    optimizer, settings = AdamW(model.parameters()), TrainingSettings(1, batch_size=16, threads=2, progress=False)
    fit(model, rows, rows_of(8), optimizer, settings, rng=np.random.default_rng(0))
    return b"".join(parameter.data.tobytes() for parameter in model.parameters())

def encode(model):
    return model.encoder.encode_ids(rows.sequences, show_progress_bar=False).tobytes()

encoding.TOKENS_IN_CACHE = 6  # many batches
rows = rows_of(48)
batch = next(length_batches(*rows, batch_size=32, pad_id=0))

def left():
    # Threads, but for the one that watches tqdm's bars, and BLAS limits.
    threads = [thread for thread in threading.enumerate() if thread.name != "tqdm_monitor"]
    return threads, [found["num_threads"] for found in threadpool_info()]

before = left()
"""

ENDED = """
class Acting(Module):
    def __init__(self, act):
        self.act, self.lock = act, threading.Lock()

    def forward(self, x):
        if threading.current_thread() is not threading.main_thread() and self.lock.acquire(blocking=False):
            self.act()
        return x

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)  # still at work when the main thread hears of it

def fail():
    raise MemoryError("no more")

def backward(model):
    with DataParallel(model, 2) as parallel:
        parallel.backward(batch)

def pool(model):
    with DataParallel(model, 2) as parallel:
        list(parallel.pool.map(model.encoder.normalize, range(40)))

for work in (encode, backward, pool, train):
    for act, error in ((fail, MemoryError), (interrupt, KeyboardInterrupt)):
        model = make()
        model.encoder.normalize = Acting(act)
        try:
            work(model)
            time.sleep(10)
        except error:
            pass
        end = left()
        print(work.__name__, error.__name__, "as before" if end == before else end)
"""


def test_no_thread_and_no_limit_is_left_after_an_error_in_any_thread_or_ctrl_c():
    found = run_alone(START + ENDED)
    works, errors = ("encode", "backward", "pool", "train"), ("MemoryError", "KeyboardInterrupt")
    assert found == [f"{work} {error} as before" for work in works for error in errors]


def test_encode_leaves_no_thread_behind_not_even_for_a_bar_that_is_not_shown():
    """From Python 3.12 on, a fork beside any other thread warns."""
    code = "before = threading.enumerate()\nencode(make())\nprint(threading.enumerate() == before)"
    assert run_alone(START + code) == ["True"]


INTERRUPTED_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == NAME:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
import minitx_command
sys.exit(minitx_command.main())
"""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, "recipes") for name in ("minitx", "numpy._core.multiarray", "pandas", "minitx.app.cli")),
        ("minitx.learn.commands", "learn"),
    ],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(name, command):
    code = INTERRUPTED_IMPORT.replace("NAME", repr(name))
    found = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "interrupted; nothing was written\n")


def test_the_command_starts_outside_the_package_and_python_m_is_the_same():
    assert tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["scripts"] == {"minitx": "minitx_command:main"}
    ways = ["-m", "minitx"], ["-c", "import sys, minitx_command; sys.exit(minitx_command.main())"]
    found = [
        subprocess.run([sys.executable, *way, "embed"], capture_output=True, text=True, timeout=60) for way in ways
    ]
    assert [one.returncode for one in found] == [2, 2]
    assert all(one.stderr.startswith("error: the following arguments are required: --out") for one in found)


# -- fork -----------------------------------------------------------------------------------------------------------

CHILDREN = """
def child(work):
    \"\"\"What the child says of `work()`: ok, how it failed, or that it hangs.\"\"\"
    process = os.fork()
    if not process:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    end = time.monotonic() + 20
    while (status := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.005)
    if status == (0, 0):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return "hangs"
    return "ok" if status[1] == 0 else f"failed {status[1]}"
"""

BESIDE = """
def both():
    return train(make()), encode(make())

expected, stop = both(), threading.Event()

def repeat(work):
    while not stop.is_set():
        work(make())

threads = [threading.Thread(target=repeat, args=[work]) for work in (train, encode)]
for thread in threads:
    thread.start()
said = []
for number in range(12):
    time.sleep(0.003 * number)
    said.append(child(lambda: both() == expected and left() == before))
stop.set()
for thread in threads:
    thread.join()
print(set(said))
"""

INSIDE = """
model = make()

def gradients(parallel):
    model.zero_grad()
    parallel.backward(batch)
    return b"".join(np.asarray(parameter.grad).tobytes() for parameter in model.parameters())

with DataParallel(model, 2) as parallel:
    states = [rng.bit_generator.state for rng in parallel.rngs]
    expected = gradients(parallel)

    def again():
        for rng, state in zip(parallel.rngs, states):
            rng.bit_generator.state = state
        return gradients(parallel) == expected and set(left()[1]) == {1}

    print(child(again), again())

print(child(lambda: left() == before), left() == before)
"""

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@fork
def test_a_child_forked_while_others_train_and_encode_does_both_with_the_same_bits():
    assert run_alone(START + CHILDREN + BESIDE) == ["{'ok'}"]


@fork
def test_a_child_forked_inside_data_parallel_goes_on_with_threads_of_its_own():
    assert run_alone(START + CHILDREN + INSIDE) == ["ok True", "ok True"]


# -- memory ---------------------------------------------------------------------------------------------------------


def growth(work, times):
    """Bytes that Python and NumPy hold more after `times` calls than after as many before."""
    held = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(times):
                work()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        return held[1] - held[0]
    finally:
        tracemalloc.stop()


def test_steps_leave_nothing_in_memory():
    model, optimizer = make(dropout=0.3)
    batch = next(length_batches(*rows_of(np.random.default_rng(0), 8), batch_size=8, pad_id=0))
    average = WeightAverage(model, 0.9)
    with DataParallel(model, 2) as parallel:

        def step():
            optimizer.zero_grad()
            parallel.backward(batch)
            clip_grad_norm_(model.parameters(), 1.0, parallel.pool.map)
            optimizer.step(parallel.pool.map)
            average.update()

        assert growth(step, 100) < 100 * 100  # an array a step would be more


def test_embedded_lines_leave_nothing_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("minitx.app.embed.TEXTS_AT_ONCE", 20)
    words = [f"word{number} and {number * number}" for number in range(40)]
    tokenizer = BPETokenizer.train(words, vocab_size=300)
    config = EncoderConfig(tokenizer.vocab_size, hidden_size=8, num_heads=2, num_layers=1, intermediate_size=8)
    encoder = SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))
    (tmp_path / "lines.txt").write_text("\n".join(words * 5), encoding="utf-8")  # ten parts

    def embed():
        embed_file(encoder, tmp_path / "lines.txt", tmp_path / "vectors.npy", overwrite=True, progress=False)

    assert growth(embed, 5) < 5 * 200 * 32  # any object a line would be more
