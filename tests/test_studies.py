"""The studies of the write-ups' claims: stated beforehand, run once, judged as stated, none left out."""

import dataclasses
import json
import shutil
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from benchmarks.studies import __main__ as command, measure, plan, report, runner
from benchmarks.studies.power import detectable, holm, power, seeds_needed
from benchmarks.studies.store import PACKAGE, Store, code_hash, differences
from minitx.app.experiment import train
from minitx.app.prepare import prepare
from minitx.app.settings import Experiment
from minitx.errors import InputError
from minitx.evaluation.statistics import difference_p
from minitx.system import Bar

DOCS = Path(__file__).parents[1] / "docs"
TINY = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "num_layers": 1,
    "vocab_size": 400,
    "max_length": 32,
}
STUDY = """
rank = 1
question = "Is more better?"
claims = ["More is better (nobody)"]
metric = "sentiment accuracy"
reference = "little"
base = ""
looks = [4, 8]

[settings]
epochs = 2

[arms.little]

[arms.more]
lr = 1e-3

[arms."the same again"]

[arms."as much as is good"]
tune = { lr = [1e-4, 2e-3, 1e-2] }
"""


def study(folder, text=STUDY, name="more"):
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return plan.read_study(path)


class Fake:
    """In place of a training: an accuracy that the seed moves a great deal, and the rate a little."""

    def __init__(self):
        self.runs = []

    def __call__(self, run, kept=None):
        self.runs.append(run)
        e = run.experiment
        score = 0.7 + 0.05 * np.sin(e.seed) + {1e-3: 0.03, 2e-3: 0.05}.get(e.lr, 0.001 * np.cos(3 * e.seed))
        figures = {"sentiment accuracy": score, "validation score": score, "wall": 1.0, "seconds": 1.0}
        return figures | {"rows": [60, 20, 20], "kept rows": 100}


@pytest.fixture
def bench(tmp_path):
    return runner.Bench(Store(tmp_path / "results"), None, "data", "code")


def run(bench, question, number, fake, **more):
    with Bar(disable=True) as bar:
        runner.go(bench, question, number, 1, bar, fake, **more)


# -- what was written down -------------------------------------------------------------------------------------


def test_every_study_can_be_read_and_names_settings_that_exist():
    found = plan.studies()
    assert len(found) > 25
    for one in found.values():
        assert one.claims
        assert one.looks[0] >= 10, "an interval of fewer seeds gives verdicts to nobody"
        assert one.waits_for() or any(arm.against for arm in one.ways())
    assert [one.rank for one in found.values()] == sorted(one.rank for one in found.values())
    assert all(row["reason"] for row in plan.untestable())


def test_the_same_training_in_two_studies_runs_once():
    keys = {
        name: {arm.run(None, 0, {}).key("") for arm in plan.studies()[name].ways() if not arm.tune}
        for name in ("freezing-400", "rates", "thawing", "overfitting", "speed")
    }
    assert keys["overfitting"] <= keys["freezing-400"] | keys["rates"] | keys["thawing"]
    assert keys["speed"] <= keys["freezing-400"] | keys["thawing"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rank = 1", "rnak = 1", r"more\.toml: unknown key 'rnak'; did you mean rank"),
        ("rank = 1", "", r"more\.toml: rank is missing"),
        ("lr = 1e-3", "learning_rate = 1e-3", r"more\.toml: unknown setting 'learning_rate'"),
        ("lr = 1e-3", "lr = -1", r"more\.toml: lr must be at least 0"),
        ("lr = [1e-4", "lr = [-1", r"more\.toml: lr must be at least 0"),
        ("[4, 8]", "[8, 4]", r"more\.toml: looks are \[8, 4\]; expected ascending"),
        ("[4, 8]", "[4, 101]", r"more\.toml: looks are .* 2 to 99"),
        ("[4, 8]", "[4]\nmargin = 0", r"more\.toml: margin is 0; expected more than 0"),
        ('"little"', '"litle"', r"more\.toml: reference is 'litle'; did you mean little"),
        ("rank = 1", "rank = '1'", r"more\.toml: rank must be a whole number, not '1'"),
        ("[4, 8]", "8", r"more\.toml: looks must be a list, not 8"),
        ("[arms.little]", "[arms]\nlittle = 3", r"more\.toml: little must be a table, not 3"),
        ("lr = 1e-3", "tune = 3", r"more\.toml: more: tune must be a table, not 3"),
        ("lr = 1e-3", "tune = { lr = 3 }", r"more\.toml: more: tune\.lr must be a list, not 3"),
        ("rank = 1", "rank = = 1", r"more\.toml is not TOML"),
        ("lr = 1e-3", 'against = "most"', r"more\.toml: more: against is 'most'"),
        ("lr = 1e-3", 'procedure = "magic"', r"more\.toml: more: procedure is 'magic'"),
        ("sentiment accuracy", "sentiment acuracy", r"more\.toml: metric is 'sentiment acuracy'; expected seconds, or"),
        (
            "sentiment accuracy",
            "sentimnt accuracy",
            r"metric is 'sentimnt accuracy'; .* one of engagement, sentiment's",
        ),
        ("sentiment accuracy", "sentiment steps to 0.75", r"more\.toml: every is 0; expected steps for a metric"),
        ("sentiment accuracy", "sentiment steps to high", r"more\.toml: metric is 'sentiment steps to high'"),
        ("[4, 8]", "[4]\nevery = -5", r"more\.toml: every is -5"),
        ("[4, 8]", "[4]\nmargin = inf", r"more\.toml: margin is inf"),
        ("[4, 8]", "[2.5, 3]", r"more\.toml: looks must be a whole number, not 2\.5"),
        ("[4, 8]", '["a"]', r"more\.toml: looks must be a whole number, not 'a'"),
        ('["More is better (nobody)"]', "[1]", r"more\.toml: claims must be a text, not 1"),
        ("[1e-4, 2e-3, 1e-2]", "[]", r"more\.toml: as much as is good: tune\.lr is empty"),
        ("lr = 1e-3", "seed = 5", r"more\.toml: seed is the same for every arm"),
        (
            "lr = 1e-3",
            "wide = false",
            r"more\.toml: wide is the same for every arm, or changes nothing that is measured",
        ),
        (
            "epochs = 2",
            'decide = {sentiment = "macro_f1"}',
            r"more\.toml: decide is the same for every arm, or changes",
        ),
        ("lr = 1e-3", "after = { threads = 2 }", r"more\.toml: threads is the same for every arm"),
    ],
)
def test_what_a_study_states_and_nobody_understands_is_refused(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(InputError, match=message):
        study(tmp_path, STUDY.replace(old, new, 1))


def test_a_study_of_what_is_not_there_yet_waits(tmp_path):
    told = STUDY.replace("rank = 1", 'rank = 1\nneeds = ["telepathy"]\nmakes = "minitx learn"').replace(
        "lr", "telepathy"
    )
    assert study(tmp_path, told).waits_for() == "telepathy: minitx learn"


def test_procedures_have_names_that_a_study_may_use():
    assert tuple(measure.PROCEDURES) == plan.PROCEDURES


def test_an_arm_that_goes_on_starts_as_the_others_and_not_with_what_it_freezes_later():
    arm = plan.studies()["freezing-400"].ways()[-1]
    later = arm.run(None, 3, {})
    assert (later.experiment.freeze, later.first.freeze) == (("sentiment",), ())
    assert (later.experiment.seed, later.first.seed) == (3, 3)


# -- runs are kept ---------------------------------------------------------------------------------------------


def test_nothing_runs_twice_and_a_stopped_study_goes_on(tmp_path, bench):
    question, whole = study(tmp_path), Fake()
    run(bench, question, 4, whole)
    assert len(whole.runs) == 3 * 3 + 3 * 4  # three rates on three seeds; four seeds of what is not the same training
    run(bench, question, 4, again := Fake())
    assert again.runs == []

    class Stopped(Fake):
        def __call__(self, one, kept=None):
            if len(self.runs) == 5:
                raise KeyboardInterrupt
            return super().__call__(one)

    second = dataclasses.replace(bench, store=Store(tmp_path / "second"))
    with pytest.raises(KeyboardInterrupt):
        run(second, question, 4, Stopped())
    second = dataclasses.replace(bench, store=Store(tmp_path / "second"))  # as a new process would read it
    assert len(second.store.lines) == 5
    run(second, question, 4, rest := Fake())
    assert len(rest.runs) == len(whole.runs) - 5
    text = [(tmp_path / folder / "more.jsonl").read_text("utf-8") for folder in ("results", "second")]
    assert text[0] == text[1]
    assert bench.chosen(question.ways()[-1]) == {"lr": 2e-3}


def test_a_line_that_was_cut_off_is_run_again(tmp_path, bench):
    question = study(tmp_path)
    run(bench, question, 4, Fake())
    path = tmp_path / "results" / "more.jsonl"
    text = path.read_text("utf-8")
    path.write_text(text[:-30], encoding="utf-8")
    torn = dataclasses.replace(bench, store=Store(tmp_path / "results"))
    run(torn, question, 4, fake := Fake())
    assert len(fake.runs) == 1
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize("line", ["5", "null", "[1]", '{"a": 1}', '{"key": "a"}', "<<<<<<< HEAD", "\udcff"])
def test_a_line_that_is_no_result_is_refused_and_stays(tmp_path, bench, line):
    run(bench, study(tmp_path), 4, Fake())
    path = tmp_path / "results" / "more.jsonl"
    first, _, rest = path.read_text("utf-8").partition("\n")
    path.write_bytes(f"{first}\n{line}\n{rest}".encode(errors="surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"more\.jsonl, line 2: no result of a run"):
        Store(tmp_path / "results")
    assert path.read_bytes() == before


def test_another_setting_seed_or_file_is_another_run(tmp_path):
    one = plan.Run(Experiment())
    others = [plan.Run(Experiment(seed=1)), plan.Run(Experiment(lr=1e-3)), plan.Run(Experiment(), Experiment())]
    others += [plan.Run(Experiment(), procedure="without positions"), plan.Run(Experiment(), every=3)]
    keys = [run.key("data") for run in (one, *others)] + [one.key("other data")]
    assert len(set(keys)) == len(keys)
    assert plan.Run(Experiment(data="elsewhere.csv")).key("data") == one.key("data")
    (path := tmp_path / "a.csv").write_text("a")
    before = plan.fingerprint(str(path))
    assert plan.fingerprint(str(path.rename(tmp_path / "b.csv"))) == before
    (model := tmp_path / "model").mkdir()
    student = plan.Run(Experiment(pretrained=str(model)))
    empty = student.key("data")
    (model / "model.safetensors").write_text("weights")
    assert student.key("data") != empty
    weights = student.key("data")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text("{}")
    assert student.key("data") not in (empty, weights)
    (tmp_path / "b.csv").write_text("b")
    assert plan.fingerprint(str(tmp_path / "b.csv")) != before


def test_several_processes_give_what_one_gives():
    runs = [plan.Run(Experiment(), every=every) for every in range(3)]
    found = dict(sorted((one.every, result) for one, result in runner.spread(runs, 2, attrgetter("every"))))
    assert found == {0: 0, 1: 1, 2: 2}


# -- the code that measured them -------------------------------------------------------------------------------


def test_the_hash_of_the_code_changes_with_code_that_matters_and_not_with_words(tmp_path):
    package = tmp_path / "minitx"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("learn", "__pycache__"))
    before = code_hash(package)

    def after(name, old, new):
        path = package / name
        source = path.read_text(encoding="utf-8")
        assert old in source
        path.write_text(source.replace(old, new, 1), encoding="utf-8")
        changed = code_hash(package)
        path.write_text(source, encoding="utf-8")
        return changed

    assert before == code_hash()
    assert after("training/trainer.py", '"""The loop', '# A comment.\n"""A loop') == before
    assert after("training/trainer.py", "running, size, start =", "running, size,  start  =") == before
    assert after("app/plots.py", "#7f8c8d", "#000000") == before
    assert after("app/experiment.py", "kept epoch", "kept the epoch") == before
    assert after("app/experiment.py", "spawn(1)[0],", "spawn(2)[0],") != before
    assert after("training/trainer.py", "0.9 * running", "0.8 * running") != before
    assert after("autograd/functional.py", "import", "import os\nimport") != before  # imported by way of others


def test_what_other_code_measured_counts_only_after_a_recheck(tmp_path, bench):
    question, bar = study(tmp_path), Bar(disable=True)
    run(bench, question, 4, Fake())
    later = dataclasses.replace(bench, store=Store(tmp_path / "results"), code="later code")
    assert later.found(question.ways()[0].run(None, 0, {})) is None
    runs = runner.known(later, {"more": question})
    keys = runner.draw(later, 3, runs)
    assert len(keys) == 3

    def other(one):
        return {**Fake()(one), "sentiment accuracy": 0.5}

    assert "sentiment accuracy: 0.7" in runner.recheck(later, keys, runs, bar, other)[0]
    assert later.store.stale("later code")
    assert runner.recheck(later, keys, runs, bar, Fake()) == []
    assert not later.store.stale("later code")
    run(dataclasses.replace(later, store=Store(tmp_path / "results")), question, 4, fake := Fake())
    assert fake.runs == []


def test_times_are_no_differences_and_a_figure_is_one():
    assert differences({"wall": 1.0, "a": 0.1}, {"wall": 2.0, "a": 0.1}) == []
    assert differences({"a": 0.1}, {"a": 0.1}) == differences({"a": 0.1}, {"a": 0.1, "new": 1}) == []
    assert differences({"a": 0.1}, {"a": 0.10000000001}) == ["a: 0.1, now 0.10000000001"]


def test_what_another_processor_rounds_otherwise_may_move_a_little_and_no_further():
    ap, scores = "engagement AP of high", "validation scores"
    assert differences({ap: 0.1, scores: [0.5, 0.7]}, {ap: 0.1004, scores: [0.5, 0.7 + 1e-15]}) == []
    assert differences({ap: 0.1}, {ap: 0.102}) == [f"{ap}: 0.1, now 0.102"]
    assert differences({scores: [0.5]}, {scores: [0.501]}) == [f"{scores}: [0.5], now [0.501]"]
    assert differences({ap: 0.1, scores: [0.5]}, {}) == [f"{ap}: 0.1, now None", f"{scores}: [0.5], now None"]


# -- what is measured ------------------------------------------------------------------------------------------


def test_what_is_measured_of_a_run(reviews_csv, tmp_path):
    experiment = Experiment(data=str(reviews_csv), epochs=2, threads=1, task_gradients=0, **TINY)
    found = measure.figures(plan.Run(experiment, every=5), tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert 0 < found["sentiment AP of positive"] <= 1
    assert found["sentiment gap"] == found["sentiment train accuracy"] - found["sentiment accuracy"]
    assert len(found["validation scores"]) == 2
    assert max(found["validation scores"]) == found["validation score"]
    assert [step for step, _ in found["curve"]] == list(range(5, found["steps"] + 1, 5))
    assert sum(found["rows"]) == found["kept rows"]
    plain = measure.figures(plan.Run(experiment), tmp_path)
    assert differences({k: v for k, v in plain.items() if k != "curve"}, found) == []  # looking changes nothing
    assert not list(tmp_path.glob("*.npz"))
    again = plan.Run(dataclasses.replace(experiment, epochs=1, lr=0.0, head_lr=0.0), experiment)
    on = measure.figures(again, tmp_path)
    assert on["sentiment accuracy"] == plain["sentiment accuracy"]  # it goes on from there, with rates of 0
    assert differences(on, measure.figures(again, tmp_path)) == []  # from what the first one kept
    lost = measure.figures(plan.Run(experiment, procedure="without positions"), tmp_path)
    assert lost["validation scores"] != plain["validation scores"]


@pytest.mark.parametrize("pretraining", ["mlm", "simcse"])
def test_arms_of_a_seed_share_what_is_learned_before_labels_and_measure_the_same(reviews_csv, tmp_path, pretraining):
    own = {"pretraining": pretraining, "pretraining_epochs": 1, "epochs": 2, "threads": 1, "task_gradients": 0}
    experiment = Experiment(data=str(reviews_csv), **own, **TINY)
    for rows in (0, 40):
        arm = dataclasses.replace(experiment, train_rows=rows)
        job = prepare(arm, measure.silent)
        scores = [epoch.score for epoch in train(job, False, measure.silent)]
        assert measure.figures(plan.Run(arm), tmp_path)["validation scores"] == scores
        assert len(list(tmp_path.glob("*.npz"))) == 1
    other = dataclasses.replace(experiment, seed=1)
    measure.figures(plan.Run(other), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_what_another_process_may_be_learning_waits_for_it():
    first, other = Experiment(epochs=1), Experiment(epochs=2)
    runs = [plan.Run(Experiment(), first), plan.Run(Experiment(), other), plan.Run(Experiment())]
    assert runner.next_of(runs, []) == 0
    assert runner.next_of(runs, [first]) == 1
    assert runner.next_of(runs, [first, other]) == 2
    assert runner.next_of(runs[:2], [first, other, None]) == 0  # better twice than not at all
    assert runner.next_of(runs[2:], [None]) == 0


def test_steps_to_a_score_are_read_off_the_curve():
    found = {"curve": [[5, {"mood": 0.5}], [10, {"mood": 0.8}], [15, {"mood": 0.7}]], "steps": 16}
    assert measure.value(found, "mood steps to 0.7") == 10
    assert measure.value(found, "mood steps to 0.9") == 21


# -- verdicts --------------------------------------------------------------------------------------------------


def test_verdicts_are_given_after_a_whole_look_and_corrected_for_looks_and_family(tmp_path, bench):
    question = study(tmp_path)
    chosen = {"more": question}
    run(bench, question, 3, Fake())
    assert {one.word for one in report.comparisons(bench, chosen)} == {"not run"}
    run(bench, question, 4, Fake())
    found = {one.arm.name: one for one in report.comparisons(bench, chosen)}
    assert found["more"].word == found["as much as is good"].word == "higher"
    assert found["the same again"].verdict == "**equal** within 0.020 †"
    second = study(tmp_path, STUDY.replace("rank = 1", "rank = 2"), "second")
    wider = {one.arm.name: one for one in report.comparisons(bench, {"more": question, "second": second})}
    assert wider["more"].differs == found["more"].differs <= wider["more"].strict[0]
    assert found["more"].overlap == pytest.approx(0.2 / 0.8)
    alone = report.difference_p(found["more"].values, 0.25)
    assert found["more"].differs == pytest.approx(2 * 2 * alone, rel=0.5)  # two looks; second smallest of three
    assert found["more"].differs >= 2 * alone
    assert report.unsettled(bench, chosen, question) == set()
    run(bench, question, 8, Fake())
    later = report.comparisons(bench, chosen)
    assert {len(one.values) for one in later} == {8}
    assert all(one.differs <= found[one.arm.name].differs for one in later)  # no later look takes a verdict back


def test_without_a_verdict_it_says_how_many_seeds_would_give_one(tmp_path, bench):
    question = study(tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.03, 100)

    def noisy(one):
        return {
            **Fake()(one),
            "sentiment accuracy": 0.7 + noise[one.experiment.seed % 100] * (one.experiment.lr == 1e-3),
        }

    run(bench, question, 4, noisy)
    found = {one.arm.name: one for one in report.comparisons(bench, {"more": question})}
    assert found["more"].verdict == "no verdict (no number of seeds: more test rows would; the look at 8 is to come)"
    found["more"].overlap = 0.0
    assert "seeds would give one; the look at 8 is to come)" in found["more"].verdict
    assert report.unsettled(bench, {"more": question}, question) >= {"more", "little"}


def test_the_report_has_a_row_for_every_comparison_run_or_not(tmp_path, bench):
    question, waits = study(tmp_path), study(tmp_path, STUDY.replace("rank = 1", 'rank = 2\nneeds = ["x"]'), "later")
    chosen = {"more": question, "later": waits}
    assert report.page(bench, chosen).count("| not run yet |") == 3 + 2
    assert report.PICTURE not in report.page(bench, chosen)
    run(bench, question, 4, Fake())
    page = report.page(bench, chosen)
    assert "| more | little | 4 | +0.03" in page
    assert "| [more](#more-is-more-better) | Is more better? | more: higher" in page
    assert "| [later](#later-is-more-better) | Is more better? | not run yet |" in page
    assert "Chosen on the validation rows of other seeds: as much as is good: lr = 0.002." in page
    assert "Not run yet: it waits for x." in page
    assert report.PICTURE in page
    assert all(row["says"] in page for row in plan.untestable())
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    (tmp_path / "docs" / "studies.md").write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.write(bench, chosen, tmp_path / "docs")
    assert (tmp_path / "docs" / "studies.md").read_text("utf-8") == (
        f"before\n{report.BEGIN}\n{page}\n{report.END}\nafter\n"
    )
    assert (tmp_path / "docs" / "pictures" / "studies.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_names_every_study_and_every_claim():
    page = (DOCS / "studies.md").read_text(encoding="utf-8")
    for one in plan.studies().values():
        assert f"### {one.name}: {one.question}" in page, "python -m benchmarks.studies --report"
        assert all(f"- {claim}\n" in page for claim in one.claims)
    assert all(row["says"] in page for row in plan.untestable())


# -- the command -----------------------------------------------------------------------------------------------


def test_the_plan_and_refusals(capsys):
    assert command.main(["--plan", "rates"]) == 0
    assert "rates" in capsys.readouterr().out
    assert command.main(["raets"]) == 2
    assert capsys.readouterr().err == "error: no study 'raets'; did you mean rates?\n"


def test_the_command_runs_what_is_missing_and_looks_again_only_where_there_is_no_verdict(tmp_path, monkeypatch, capsys):
    noise = np.random.default_rng(0).normal(0, 0.03, 200)

    class Noisy(Fake):
        def __call__(self, one, kept=None):
            e = one.experiment
            off = noise[e.seed] * (e.lr == 1e-3)
            return {**super().__call__(one), "sentiment accuracy": 0.7 + off + 0.1 * (e.lr == 2e-3)}

    question, fake = study(tmp_path), Noisy()
    monkeypatch.setattr(command, "figures", fake)
    monkeypatch.setattr(command, "present_code", lambda: "code")
    monkeypatch.setattr(command, "Store", lambda: Store(tmp_path / "results"))
    monkeypatch.setattr(plan, "studies", lambda: {"more": question})
    assert command.main([]) == 0
    seeds = {
        rate: sorted(r.experiment.seed for r in fake.runs if r.experiment.lr == rate) for rate in (5e-4, 1e-3, 2e-3)
    }
    assert seeds == {5e-4: [*range(8)], 1e-3: [*range(8)], 2e-3: [*range(4), *plan.TUNING]}
    count = len(fake.runs)
    assert command.main([]) == 0
    assert len(fake.runs) == count
    monkeypatch.setattr(command, "present_code", lambda: "later code")
    assert command.main(["--recheck", "2"]) == 0
    assert len(fake.runs) == count + 2
    assert "2 runs again: every figure is equal" in capsys.readouterr().out
    assert command.main([]) == 0
    assert len(fake.runs) == count + 2

    def stop(one, kept):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "present_code", lambda: "other code")
    monkeypatch.setattr(command, "figures", stop)
    assert command.main([]) == 130
    assert capsys.readouterr().err.endswith("stopped; what has run is kept, and the same command goes on\n")


# -- what a study can tell ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction(p):
    """Rejected at any level is what Holm's procedure rejects there: the smallest first, until one is too large."""
    corrected = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected = np.zeros(len(p), bool)
        for rank, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - rank) > level:
                break
            rejected[i] = True
        np.testing.assert_array_equal(corrected <= level, rejected)


def test_holms_correction_by_hand():
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.6]), [0.09, 0.04, 0.09, 0.6])


def test_the_power_of_a_paired_t_test():
    """Cohen 1988, table 2.3.5: 34 pairs tell half a standard deviation from 0 in 81 of 100 studies."""
    assert power(0.5, 1.0, 34) == pytest.approx(0.81, abs=0.005)
    assert power(0.0, 1.0, 34) == pytest.approx(0.05)
    rng = np.random.default_rng(0)
    found = np.mean([difference_p(rng.normal(0.8, 1, 10)) < 0.05 for _ in range(2000)])
    assert power(0.8, 1.0, 10) == pytest.approx(found, abs=0.03)
    assert power(0.8, 1.0, 10, overlap=0.25) < power(0.8, 1.0, 10)


def test_the_smallest_effect_that_is_detected_and_the_seeds_that_detect_it():
    smallest = detectable(0.01, 10, 0.25)
    assert power(smallest, 0.01, 10, 0.25) == pytest.approx(0.8, abs=1e-3)
    n = seeds_needed(0.006, 0.01, 0.0)
    assert power(0.006, 0.01, n) >= 0.8 > power(0.006, 0.01, n - 1)
    assert seeds_needed(0.0, 0.01, 0.006) == n  # as far from the margin's ends
    assert seeds_needed(0.001, 0.01, 0.004, overlap=0.25) is None  # sharing test rows leaves the interval too wide
    assert seeds_needed(0.0, 0.0, 0.0) is None
    assert seeds_needed(0.1, 0.0, 0.0) == 2


def test_the_mark_is_of_the_verdict_it_stands_beside(tmp_path):
    """A difference that does not stand in the family of all is not marked because an equality does."""
    question = study(tmp_path)
    one = report.Comparison(question, question.ways()[1], [np.full(4, 0.005)], 0.25)
    one.differs, one.equals, one.strict = 0.01, 0.001, (1.0, 0.001)
    assert (one.word, one.mark) == ("higher", "")
    assert one.verdict == "**higher**, by less than 0.020"
    one.strict = (0.01, 1.0)
    assert one.verdict == "**higher** †, by less than 0.020"
    one.differs, one.strict = 1.0, (0.01, 1.0)
    assert (one.word, one.mark) == ("equal", "")


@pytest.mark.parametrize(
    ("n", "overlap", "alpha"), [(2, 0.0, 0.05), (3, 0.0, 0.025), (10, 0.0, 1e-4), (10, 0.18, 1e-3)]
)
def test_power_holds_where_few_seeds_and_small_levels_leave_scipys_tails(n, overlap, alpha, rng):
    effect = detectable(1.0, n, overlap, alpha)
    # What `overlap` stands for: something that all n values of a study share.
    shared = rng.normal(size=(40_000, 1)) * np.sqrt(overlap)
    values = effect + shared + rng.normal(size=(40_000, n))
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) / np.sqrt(1 / n + overlap)
    limit = stats.t.ppf(1 - alpha / 2, n - 1)
    assert np.mean(np.abs(t) > limit) == pytest.approx(0.8, abs=0.015)
