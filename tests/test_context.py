"""How a thread runs is its own: nested, restored, handed on; and nothing that only looks writes to a model."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_trainer import V, make, rows_of, settings
from threadpoolctl import threadpool_info

from minitx.autograd.anomaly import AnomalyError, detect_anomaly
from minitx.autograd.context import Run, Watcher, current, inference, inherit, no_grad, region, running, watching
from minitx.autograd.engine import Sums
from minitx.autograd.profiler import profile
from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.evaluation.attribution import token_contributions
from minitx.evaluation.evaluate import evaluate
from minitx.models import encoding
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.nn.layers import Dropout
from minitx.nn.module import Module
from minitx.system import one_blas_thread
from minitx.text.bpe import BPETokenizer
from minitx.training.parallel import DataParallel
from minitx.training.trainer import fit


def in_threads(*works):
    """Run the functions side by side, each in a thread of its own; whatever one raises is raised here."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(timeout=30) for future in [pool.submit(work) for work in works]]


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def state_of(model):
    """All that a look must leave alone: weights, gradients, modes, flags and where every generator stands."""
    return (
        {name: p.data.tobytes() for name, p in model.named_parameters()},
        {name: None if p.grad is None else np.asarray(p.grad).tobytes() for name, p in model.named_parameters()},
        {name: p.requires_grad for name, p in model.named_parameters()},
        {name: vars(module).get("_training") for name, module in model.named_modules()},
        [repr(m.rng.bit_generator.state) for m in model.modules() if isinstance(m, Dropout)],
        [m.rng.bit_generator.seed_seq.n_children_spawned for m in model.modules() if isinstance(m, Dropout)],
    )


def mixed_model(dropout=0.5):
    """A head and the first dropout train, the encoder does not, but for one block's dropout."""
    model, _ = make(dropout=dropout)
    model.train()
    model.encoder.eval()
    model.encoder.transformer.blocks[0].train()
    assert len(set(modes(model).values())) == 2
    return model


# -- a run: nested, restored, per thread ---------------------------------------------------------------------------


def test_runs_nest_and_change_only_what_is_named():
    rng = np.random.default_rng(0)
    assert current() == Run()
    with running(inference=True):
        with running(rng=rng, recording=False):
            assert (current().inference, current().recording, current().rng) == (True, False, rng)
            with running(recording=True):
                assert (current().inference, current().recording, current().rng) == (True, True, rng)
            assert not current().recording
        assert current() == Run(inference=True)
    assert current() == Run()


def test_an_unknown_field_is_refused_and_changes_nothing():
    with pytest.raises(TypeError, match="recoding"), running(recoding=False):
        pass
    assert current() == Run()


@pytest.mark.parametrize(
    "enter",
    [no_grad, inference, profile, detect_anomaly, lambda: watching(Watcher()), lambda: running(gradients=Sums())],
)
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, GeneratorExit])
def test_every_way_out_restores(enter, error):
    with running(inference=True):
        before = current()
        with contextlib.suppress(error), enter():
            assert current() != before
        with pytest.raises(error), enter():
            raise error
        assert current() == before
    assert current() == Run()


def test_a_decorator_holds_for_each_call_and_through_recursion():
    @no_grad()
    def down(n):
        assert not current().recording
        return [current().recording, *down(n - 1)] if n else []

    assert down(5) == [False] * 5
    assert current().recording
    x = Tensor([1.0], requires_grad=True)
    assert in_threads(*[lambda: inference()(lambda: (x * 2).requires_grad)()] * 4) == [False] * 4


def test_a_generator_that_is_run_to_its_end_inside_restores():
    def counting():
        with no_grad():
            yield from range(3)

    with running(inference=True):
        assert list(counting()) == [0, 1, 2]
        assert current() == Run(inference=True)


def test_two_generators_that_end_in_the_order_they_began_leave_nothing_on():
    def paused():
        with no_grad():
            yield

    def body():  # in a thread of its own, so that what is left on does not disturb other tests
        first, second = paused(), paused()
        next(first), next(second)
        first.close()
        second.close()
        return current()

    assert in_threads(body) == [Run()]


def test_a_generator_may_be_closed_by_another_thread():
    """The garbage collector does so at any time, with whatever was never run to its end."""

    def paused():
        with no_grad():
            yield

    def begin():
        generator = paused()
        next(generator)
        return generator

    (generator,) = in_threads(begin)
    generator.close()


def test_a_thread_starts_with_the_defaults():
    with inference(), running(rng=np.random.default_rng(0), gradients=Sums()), watching(Watcher()):
        assert in_threads(current) == [Run()]
        assert current() != Run()


def test_inherited_work_runs_as_the_thread_that_asked():
    with inference(), watching(Watcher()), np.errstate(divide="raise"):
        asked = current()
        work = inherit(lambda: (current(), np.geterr()["divide"]))
    assert current() == Run()
    assert in_threads(work, work, work) == [(asked, "raise")] * 3  # even once the block has ended
    assert work() == (asked, "raise")


def test_what_inherited_work_changes_stays_in_its_call():
    both = threading.Barrier(2, timeout=10)

    def work(recording):
        with running(recording=recording):
            both.wait()
            seen = current().recording
            both.wait()
        return seen, current()

    with inference():
        inherited = inherit(work)
        found = in_threads(lambda: inherited(True), lambda: inherited(False))
        assert found == [(True, current()), (False, current())]


def test_gradients_go_where_the_run_says_and_nowhere_else():
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    y.grad = before = np.array([7.0, 7.0], np.float32)
    outer, inner = Sums(), Sums()
    with running(gradients=outer):
        (x * y).sum().backward()
        with running(gradients=inner):
            (x * x).sum().backward()
        (x * y).sum().backward()
    assert x.grad is None
    assert y.grad is before
    assert before.tolist() == [7, 7]
    assert outer[x].tolist() == [6, 8]
    assert outer[y].tolist() == [2, 4]
    assert {leaf: dx.tolist() for leaf, dx in inner.items()} == {x: [2, 4]}
    outer.into_leaves()
    assert (x.grad.tolist(), y.grad.tolist()) == ([6, 8], [9, 11])
    assert before.tolist() == [7, 7]


def test_sixteen_threads_each_have_their_own_sums():
    w = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    start = threading.Barrier(16, timeout=10)

    def work(i):
        sums = Sums()
        start.wait()
        with running(gradients=sums):
            for _ in range(20):
                (w * float(i)).sum().backward()
        return sums[w]

    found = in_threads(*[lambda i=i: work(i) for i in range(16)])
    assert [set(dx.ravel().tolist()) for dx in found] == [{20.0 * i} for i in range(16)]
    assert w.grad is None


def test_a_failing_backward_leaves_no_gradient():
    def broken(x):
        def backward(dy):
            raise IndexError("far too far")

        return Tensor.from_op(x.data, (x,), backward)

    x, y = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    with pytest.raises(IndexError):
        (y * 3 + broken(x)).sum().backward()
    assert x.grad is None
    assert y.grad is None


def test_the_gradient_of_a_number_stays_an_array():
    x = Tensor(np.array(2.0), requires_grad=True)
    for _ in range(2):
        (x * x).backward()
    assert isinstance(x.grad, np.ndarray)  # else clip_grad_norm_ has nothing to write into


def test_the_runs_generator_decides_what_dropout_drops():
    dropout, x = Dropout(0.5, rng=np.random.default_rng(0)), Tensor(np.ones(100))
    before = repr(dropout.rng.bit_generator.state)
    drawn = []
    for seed in (1, 1, 2):
        with running(rng=np.random.default_rng(seed)):
            drawn.append(dropout(x).data.tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    with inference():
        assert dropout(x).data.tolist() == x.data.tolist()
    assert repr(dropout.rng.bit_generator.state) == before
    dropout(x)
    assert repr(dropout.rng.bit_generator.state) != before


# -- who watches ----------------------------------------------------------------------------------------------------


def test_a_profile_inside_anomaly_detection_hides_nothing():
    with detect_anomaly():
        with profile() as outer, profile() as inner:
            Tensor(np.ones(2)).exp()
            with pytest.raises(AnomalyError):
                Tensor(np.zeros(2)).log()
        with pytest.raises(AnomalyError):
            Tensor(np.zeros(2)).log()
    assert outer.rows["Tensor.exp"].calls == inner.rows["Tensor.exp"].calls == 1
    assert current() == Run()


@pytest.mark.parametrize("kinds", [(profile, detect_anomaly), (detect_anomaly, profile), (profile, profile)])
def test_watching_blocks_that_overlap_in_two_threads_end_each_by_itself(kinds):
    """The first to enter is the first to leave: with one place for both, the second would have stayed for ever."""
    turns = [threading.Event() for _ in range(3)]

    def first():
        with kinds[0]() as p:
            turns[0].set()
            assert turns[1].wait(10)
            Tensor(np.ones(2)).exp()
        left = current()
        turns[2].set()
        return left, p

    def second():
        assert turns[0].wait(10)
        with kinds[1]() as p:
            turns[1].set()
            assert turns[2].wait(10)
            Tensor(np.ones(2)).sqrt()
        return current(), p

    for (left, p), op, kind in zip(in_threads(first, second), ("exp", "sqrt"), kinds, strict=True):
        assert left == Run()
        assert kind is not profile or {name: row.calls for name, row in p.rows.items()} == {f"Tensor.{op}": 1}
    assert current() == Run()
    with np.errstate(divide="ignore"):
        Tensor(np.zeros(1)).log()


def test_regions_reach_every_watcher_and_end_on_errors():
    with profile() as p:
        with region("mine"):
            pass
        with pytest.raises(ZeroDivisionError), region("broken"):
            raise ZeroDivisionError
        with region("mine"):
            pass
    assert p.rows["mine"].calls == 2


def test_encode_is_watched_in_every_thread(monkeypatch):
    monkeypatch.setattr(encoding, "TOKENS_IN_CACHE", 6)
    model, _ = make()
    sequences = rows_of(np.random.default_rng(0), 40).sequences
    with profile() as p:
        model.encoder.encode_ids(sequences, show_progress_bar=False)
    batches = len(encoding.batches_by_length(np.array([len(ids) for ids in sequences]), 32))
    assert p.rows["attention"].calls == batches > 5
    model.encoder.norm.weight.data[0] = np.nan
    with detect_anomaly(), pytest.raises(AnomalyError, match="SentenceEncoder norm"):
        model.encoder.encode_ids(sequences, show_progress_bar=False)


# -- looking is not touching ---------------------------------------------------------------------------------------


def looks(model):
    """Everything that only looks at a model."""
    rows = rows_of(np.random.default_rng(5), 40)
    some = np.zeros(40, np.int64)
    return {
        "encode_ids": lambda: model.encoder.encode_ids(rows.sequences, show_progress_bar=False),
        "predict": lambda: model.probabilities(model.encoder.encode_ids(rows.sequences))["high"],
        "evaluate": lambda: evaluate(model, rows)["chance"].loss,
        "contributions": lambda: np.concatenate(token_contributions(model, rows.sequences, "chance", some)),
    }


@pytest.mark.parametrize("look", ["encode_ids", "predict", "evaluate", "contributions"])
def test_looking_writes_nothing_and_does_as_in_eval_mode(look):
    model, still = mixed_model(), make(dropout=0.5)[0].eval()
    for parameter in model.parameters():
        parameter.grad = np.full_like(parameter.data, 3)
    before = state_of(model)
    found = looks(model)[look]()
    assert state_of(model) == before
    np.testing.assert_array_equal(found, looks(still)[look]())


@pytest.mark.parametrize("look", ["encode_ids", "predict", "evaluate", "contributions"])
def test_a_look_in_between_changes_no_later_step(look):
    """Weights after two steps with dropout, bit for bit, with and without a look between them."""

    def steps(looked):
        model, optimizer = make(dropout=0.5)
        x = rows_of(np.random.default_rng(2), 8)
        ids = np.array([[(ids * 6)[:6] for ids in x.sequences]][0])
        for _ in range(2):
            optimizer.zero_grad()
            sum(model.losses(model(ids, np.ones(ids.shape, bool)), x.labels).values(), start=Tensor(0.0)).backward()
            if looked:  # between the gradient and the step
                looks(model)[look]()
            optimizer.step()
        return [p.data.tobytes() for p in model.parameters()]

    assert steps(True) == steps(False)


def test_contributions_are_found_inside_no_grad_too():
    model, _ = make()
    expected = looks(model)["contributions"]()
    with no_grad():
        np.testing.assert_array_equal(looks(model)["contributions"](), expected)


def test_a_users_own_module_sees_eval_mode_within_encode_and_its_own_outside():
    seen = []

    class Curious(Module):
        def forward(self, x):
            seen.append((self.training, threading.current_thread() is threading.main_thread()))
            return x

    model, _ = make()
    model.encoder.normalize = Curious()
    model.train()
    model.encoder.encode_ids([[1, 2]], show_progress_bar=False)
    in_threads(lambda: model.encoder.encode_ids([[1, 2]], show_progress_bar=False))
    with inference():
        assert not model.encoder.normalize.training
    assert [training for training, _ in seen] == [False, False]
    assert model.encoder.normalize.training
    model(np.array([[1, 2]]), np.ones((1, 2), bool))
    assert seen[-1] == (True, True)


@pytest.mark.parametrize("through", ["predict", "predict_proba", "evaluate"])
def test_mixed_modes_stay_mixed(through):
    class Words:
        vocab_size, pad_id = V, 0

        def encode_and_cut(self, texts, max_length):
            return [[len(word) for word in text.split()] for text in texts], 0

    model = mixed_model()
    model.encoder.tokenizer = Words()
    before = modes(model)
    texts = ["one two three", "four", "fifty six"]
    if through == "evaluate":
        evaluate(model, rows_of(np.random.default_rng(0), 9))
    else:
        first, again = (getattr(model, through)(texts) for _ in range(2))
        assert str(first) == str(again)  # without dropout
    assert modes(model) == before


def test_modes_that_others_set_meanwhile_are_not_undone():
    """`encode` used to put back, at its end, what it had found at its start."""
    model, _ = make()
    model.train()
    inside, changed = threading.Event(), threading.Event()

    class Gate(Module):
        def forward(self, x):
            inside.set()
            assert changed.wait(10)
            return x

    def change():
        assert inside.wait(10)
        model.eval()
        changed.set()

    model.encoder.normalize = Gate()
    in_threads(lambda: model.encoder.encode_ids([[1]], show_progress_bar=False), change)
    assert not any(modes(model).values())


# -- one model, many threads ------------------------------------------------------------------------------------------


def found_beside(meanwhile, look, threads):
    """What `look()` returns in so many threads, in one list, while another does `meanwhile()` over and over."""
    done = threading.Event()

    def repeat():
        while not done.is_set():
            meanwhile()

    with ThreadPoolExecutor(threads + 1) as pool:
        repeating = pool.submit(repeat)
        try:
            found = [one for looking in [pool.submit(look) for _ in range(threads)] for one in looking.result(60)]
        finally:
            done.set()
        repeating.result(60)
    return found


def test_sixteen_threads_encode_a_thousand_times_while_another_trains_a_second_model(monkeypatch):
    monkeypatch.setattr(encoding, "TOKENS_IN_CACHE", 64)  # several batches to a call
    config = EncoderConfig(V, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, dropout=0.5)
    encoder = SentenceEncoder(config, rng=np.random.default_rng(0))
    encoder.train()
    sequences = rows_of(np.random.default_rng(3), 30).sequences
    expected, before = encoder.encode_ids(sequences, show_progress_bar=False).tobytes(), state_of(encoder)
    blas = threadpool_info()
    trained, (other, optimizer) = [], make(dropout=0.3)
    parts = rows_of(np.random.default_rng(1), 48), rows_of(np.random.default_rng(2), 8)

    def train():
        trained.extend(fit(other, *parts, optimizer, settings(threads=2), rng=np.random.default_rng(4)))

    def encode():
        return [encoder.encode_ids(sequences, show_progress_bar=False).tobytes() for _ in range(63)]

    vectors = found_beside(train, encode, threads=16)
    assert len(vectors) == 1008
    assert set(vectors) == {expected}
    assert state_of(encoder) == before
    assert trained
    assert threadpool_info() == blas


def test_threads_predict_with_a_model_while_its_modes_change():
    model, _ = make(dropout=0.5)
    sequences = rows_of(np.random.default_rng(3), 12).sequences
    expected = model.probabilities(model.encoder.encode_ids(sequences))["chance"].tobytes()

    def flip():
        model.train()
        model.encoder.eval()

    def look():
        return [model.probabilities(model.encoder.encode_ids(sequences))["chance"].tobytes() for _ in range(40)]

    found = found_beside(flip, look, threads=4)
    assert set(found) == {expected}


def test_a_training_step_in_one_thread_has_dropout_while_another_looks():
    """Inference is the looking thread's, not the model's: the training thread still draws."""
    model, _ = make(dropout=0.5)
    ids, mask = np.array([[1, 2, 3]]), np.ones((1, 3), bool)
    stop = threading.Event()

    def look():
        while not stop.is_set():
            model.encoder.encode_ids([[1, 2, 3]], show_progress_bar=False)

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            drawn = {model(ids, mask)["high"].data.tobytes() for _ in range(50)}
        finally:
            stop.set()
        [future.result(10) for future in looking]
    assert len(drawn) > 40


# -- BLAS limits ------------------------------------------------------------------------------------------------------


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_blas_limits_come_back_in_whatever_order_blocks_end(order):
    before = blas_threads()
    stacks = [contextlib.ExitStack() for _ in range(3)]
    for stack in stacks:
        stack.enter_context(one_blas_thread())
        assert set(blas_threads()) == {1}
    for i in order:
        assert set(blas_threads()) == {1}, i
        stacks[i].close()
    assert blas_threads() == before


TWO_THREADS = """
import threading
import numpy
from threadpoolctl import threadpool_info
from minitx.system import one_blas_thread

threads = lambda: [library["num_threads"] for library in threadpool_info()]
start, entered, left, done = threads(), threading.Event(), threading.Event(), threading.Event()

def first():
    with one_blas_thread():
        entered.set()
        left.wait(10)
    done.set()
    threading.Event().wait(60)

def last():
    entered.wait(10)
    with one_blas_thread():
        left.set()
        done.wait(10)
        print("inside", *threads())
    print("after", "as before" if threads() == start else threads())
"""


def run_alone(code):
    """What a program prints in a process of its own: who sets BLAS limits first is the whole process's."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_thread_limits_blas_though_the_main_thread_has_done_so_before():
    code = "with one_blas_thread():\n    pass\nentered.set(), done.set()\nthread = threading.Thread(target=last)\n"
    found = run_alone(f"{TWO_THREADS}{code}thread.start()\nthread.join()")
    assert found == ["inside 1", "after as before"]


def test_the_last_to_leave_restores_blas_though_another_set_it():
    """As where a thread that lives on has encoded once while another trained."""
    code = "threading.Thread(target=first, daemon=True).start()\nlast()"
    assert run_alone(f"{TWO_THREADS}{code}") == ["inside 1", "after as before"]


def test_a_limit_that_a_living_thread_has_set_with_threadpoolctl_is_no_obstacle():
    """From 3.8 on, threadpoolctl obeys that thread and silently no other: ours would compute with all BLAS threads."""
    code = "import threadpoolctl\nthreadpoolctl.threadpool_limits(2)\nstart = threads()\nleft.set()\n"
    code += "done.set()\nentered.set()\nlast()\nthreadpoolctl.threadpool_limits(1)\nprint(*threads())"
    assert run_alone(f"{TWO_THREADS}{code}") == ["inside 1", "after as before", "1"]


OVERLAPPING = """
import sys, threading
from threadpoolctl import ThreadpoolController
from minitx.system import one_blas_thread

sys.setswitchinterval(1e-5)
libraries = [found for found in ThreadpoolController().lib_controllers if found.user_api == "blas"]
threads = lambda: [library.get_num_threads() for library in libraries]
before, inside = threads(), set()

def work():
    for _ in range(100):
        with one_blas_thread():
            inside.update(threads())

together = [threading.Thread(target=work) for _ in range(3)]
for thread in together:
    thread.start()
for thread in together:
    thread.join()
print(inside, threads() == before)
"""


def test_blas_limits_hold_and_come_back_however_often_blocks_overlap():
    """One thread that ends the last block, while another that began it has not quite ended."""
    assert run_alone(OVERLAPPING) == ["{1} True"]


def test_blas_limits_come_back_after_overlapping_work_that_fails(monkeypatch):
    monkeypatch.setattr(encoding, "TOKENS_IN_CACHE", 3)
    before = threadpool_info()
    inside = threading.Event()
    model, _ = make()

    class Failing(Module):
        def forward(self, x):
            inside.set()
            raise MemoryError("no more")

    broken, _ = make()
    broken.encoder.normalize = Failing()

    def fail():
        with pytest.raises(MemoryError):
            broken.encoder.encode_ids([[1, 2]] * 20, show_progress_bar=False)

    def train():
        with DataParallel(model, 2):
            assert inside.wait(10)
            model.encoder.encode_ids([[1, 2]] * 20, show_progress_bar=False)

    in_threads(train, fail)
    assert threadpool_info() == before


def test_a_pool_that_cannot_start_keeps_no_limit(monkeypatch):
    before = blas_threads()

    def refuse(threads, *name):
        if threads == 2:
            raise RuntimeError("can't start new thread")
        return ThreadPoolExecutor(threads, *name)  # what sets the limit, and takes it away

    monkeypatch.setattr("minitx.system.ThreadPoolExecutor", refuse)
    with pytest.raises(RuntimeError, match="new thread"), DataParallel(make()[0], 2):
        pass
    assert blas_threads() == before


NEVER_LEFT = """
import numpy as np
from minitx import EncoderConfig, MultiTaskModel, SentenceEncoder
from minitx.training.parallel import DataParallel

rng = np.random.default_rng(0)
config = EncoderConfig(9, hidden_size=4, num_heads=1, num_layers=1, intermediate_size=4)
parallel = DataParallel(MultiTaskModel(SentenceEncoder(config, rng=rng), {"mood": 2}, rng=rng), 2).__enter__()
print(parallel.pool.submit(sum, [1, 1]).result())
"""


def test_a_data_parallel_that_is_never_left_says_nothing_when_python_ends():
    assert run_alone(NEVER_LEFT) == ["2"]


def test_no_graph_is_kept_by_a_look():
    model, _ = make()

    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    before = tensors()
    kept = [look() for look in looks(model).values()]
    assert tensors() == before
    assert len(kept) == 4


def test_a_watcher_that_has_ended_watches_no_more_though_another_began_inside_it():
    first, second = profile(), profile()
    a = first.__enter__()
    b = second.__enter__()
    first.__exit__(None, None, None)
    Tensor([1.0]).exp()
    second.__exit__(None, None, None)
    assert not a.rows
    assert b.rows["Tensor.exp"].calls == 1


def test_training_inside_no_grad_trains():
    model, batch = make()[0], next(length_batches(*rows_of(np.random.default_rng(0), 8), batch_size=8, pad_id=0))
    with DataParallel(model, 2) as parallel, no_grad():
        parallel.backward(batch)
    assert all(p.grad is not None for p in model.parameters())


INTERRUPTED = """
import os, random, signal, threading, time
import numpy as np
from threadpoolctl import threadpool_info
from minitx import EncoderConfig, SentenceEncoder

threads = lambda: [library["num_threads"] for library in threadpool_info()]
before = threads()
config = EncoderConfig(9, hidden_size=4, num_heads=1, num_layers=1, intermediate_size=4)
encoder = SentenceEncoder(config, rng=np.random.default_rng(0))
random.seed(0)

def interrupt():
    time.sleep(random.random() * 0.01)
    os.kill(os.getpid(), signal.SIGINT)

for _ in range(40):
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        while True:
            encoder.encode_ids([[1, 2, 3]], show_progress_bar=False)
    except KeyboardInterrupt:
        pass
    thread.join()
encoder.encode_ids([[1, 2, 3]], show_progress_bar=False)
print(threads() == before)
"""

FORKED = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, Python warns of every fork beside threads
import numpy as np
from threadpoolctl import threadpool_info
from minitx import EncoderConfig, SentenceEncoder

threads = lambda: [library["num_threads"] for library in threadpool_info()]
before, busy = threads(), True
config = EncoderConfig(9, hidden_size=4, num_heads=1, num_layers=1, intermediate_size=4)
encoder = SentenceEncoder(config, rng=np.random.default_rng(0))

def encode():
    while busy:
        encoder.encode_ids([[1, 2, 3]], show_progress_bar=False)

thread = threading.Thread(target=encode)
thread.start()
codes = []
for _ in range(8):
    time.sleep(0.005)
    child = os.fork()
    if not child:
        encoder.encode_ids([[1, 2, 3]], show_progress_bar=False)
        os._exit(0 if threads() == before else 1)
    end = time.monotonic() + 10
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    codes.append(status[1] if status != (0, 0) else "hangs")
busy = False
thread.join()
print(set(codes) == {0}, codes)
"""


def test_blas_limits_survive_being_interrupted():
    assert run_alone(INTERRUPTED)[-1] == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_encodes_and_has_all_blas_threads_again():
    assert run_alone(FORKED)[-1].startswith("True")


def test_sixteen_threads_share_one_tokenizer_whose_memory_is_always_full(monkeypatch):
    """What is remembered of words is the one thing that encoding writes; to forget it at any time changes nothing."""
    texts = [f"the {word} app {number} crashes, {word * 3}!" for number, word in enumerate("abcdefghij" * 3)]
    tokenizer = BPETokenizer.train(texts, vocab_size=300)
    config = EncoderConfig(tokenizer.vocab_size, hidden_size=8, num_heads=2, num_layers=1, intermediate_size=8)
    encoder = SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))
    expected = encoder.encode(texts).tobytes()
    monkeypatch.setattr("minitx.text.tokenizer.MEMO_ENTRIES", 2)
    found = in_threads(*[lambda: [encoder.encode(texts).tobytes() for _ in range(5)]] * 16)
    assert {vectors for of_thread in found for vectors in of_thread} == {expected}
