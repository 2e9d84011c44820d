"""The model of what several processes cost: its limits, its page, and failures drawn beside a formula."""

import json

import pytest

from benchmarks import scaling
from benchmarks.scaling import Network, Work

NETWORK = Network(1e-5, 1e9)
WORK = Work(1e12, 1e11, 0.1, 1e9, 0.0, 0.0)


@pytest.fixture(scope="module")
def found():
    return json.loads(scaling.FOUND.read_text("utf-8"))


def test_one_process_has_nothing_to_add_up():
    assert scaling.adding_up(WORK, 1, NETWORK) == 0
    assert scaling.step_time(WORK, 1, NETWORK) == pytest.approx(10.1)
    assert scaling.efficiency(WORK, 1, NETWORK) == 1


def test_a_ring_sends_twice_all_bytes_but_the_own_share():
    work = Work(0, 1, 0, 8e6, 0, 0)
    assert scaling.adding_up(work, 4, Network(0, 1e6)) == pytest.approx(2 * 3 / 4 * 8)
    assert scaling.adding_up(work, 4, Network(1, 1e30)) == pytest.approx(2 * 3 * 2 + 3)  # two buckets, and the rows


def test_overlapping_hides_no_more_than_backward_takes():
    slow = Network(0, 1e7)
    assert scaling.step_time(WORK, 8, NETWORK, True) < scaling.step_time(WORK, 8, NETWORK)
    hidden = scaling.step_time(WORK, 8, slow) - scaling.step_time(WORK, 8, slow, True)
    assert hidden == pytest.approx(2 / 3 * scaling.compute(WORK, 8))


def test_a_network_is_found_again_from_its_own_times():
    times = {str(n): 2 * (3e-5 + n / 2 / 2e9) for n in scaling.MESSAGES}
    network = scaling.network_here({"ranks": 2, "messages": times})
    assert network.latency == pytest.approx(3e-5)
    assert network.bandwidth == pytest.approx(2e9)


@pytest.mark.parametrize("interval", [60.0, 600.0, 6000.0])
def test_failures_that_are_drawn_leave_the_time_that_dalys_formula_says(interval, rng):
    mean, cost, restart = 20_000.0, 30.0, 120.0
    drawn = scaling.simulated(interval, mean, cost, restart, rng, failures=20_000)
    assert drawn == pytest.approx(scaling.daly(interval, mean, cost, restart), abs=0.01)


def test_youngs_interval_loses_the_least():
    best = scaling.young(20_000, 30)
    useful = [scaling.daly(interval, 20_000, 30, 120) for interval in (best / 2, best, best * 2)]
    assert max(useful) == useful[1]


def test_the_model_is_as_near_to_what_was_measured_as_was_asked(found):
    for name, measured, modelled in scaling.checks(found):
        assert abs(modelled / measured - 1) <= scaling.WITHIN, name


def test_the_page_says_what_the_figures_say(found):
    page = (scaling.DOCS / "scaling.md").read_text("utf-8")
    assert page == scaling.page(found)
