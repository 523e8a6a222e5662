"""Families on the command line have the numbers of the Families page."""

import argparse
import json

import pytest

from sciml_backend.__main__ import main
from sciml_backend.commands.families import Families
from sciml_backend.run import BadRequest, SourcedMap
from sciml_backend.store import spool
from tests.commands.conftest import ended

LBFGS, NODE = "pinn/convection/lbfgs", "node/pendulum/adam"
PUBLISHED = "published:pinn/convection/lbfgs"


@pytest.fixture(autouse=True)
def stored(results):
    """On convection seed 0 rises from 0.1 to 0.9 after β = 10, seed 1 to 0.7; the pendulum rises slowly."""
    pinns = [
        ended(LBFGS, {"beta": beta}, data, seed, 0.1 if beta <= 10 else high)
        for beta in (5, 10, 20, 40)
        for data in (100, 500)
        for seed, high in ((0, 0.9), (1, 0.7))
    ]
    nodes = [ended(NODE, {"inv_b": inv_b}, data, 0, 0.1 * inv_b) for inv_b in (1, 2, 3, 4, 5) for data in (69, 118)]
    for axis, runs in (("beta", pinns), ("inv_b", nodes)):
        spool.write_runs(runs, results, batch_id=f"families:{axis}", axis=axis)


def families(*words):
    command, parser = Families(), argparse.ArgumentParser()
    command.configure(parser)
    result = command.execute(parser.parse_args(words))
    json.dumps(result, allow_nan=False)
    return result, command.text(result)


def test_each_map_has_its_regimes_and_the_sharpness_of_its_transition():
    own = ("--rule", "absolute", "--train", "0.3", "--test", "0.3")
    result, text = families(LBFGS, NODE, *own)
    pinn, node = result["maps"]
    assert pinn["thresholds"] == {"train": 0.3, "test": 0.3} and pinn["shares"]["I"] == pinn["shares"]["II"] == 0.5
    # The range of the means is 0.1 to 0.8; each seed rises by 0.8 and 0.6 of it within a cell.
    assert pinn["largest"] == pytest.approx((0.8 + 0.6) / 2 / 0.7) and pinn["n_seeds"] == 2
    assert pinn["largest_error"] == pytest.approx(0.1 / 0.7) and pinn["of_means"] == pytest.approx(1)
    assert node["of_means"] == pytest.approx(0.1 / 0.4) and node["largest_error"] is None
    assert f"1 {LBFGS}" in text and f"2 {NODE}" in text and "largest step of test across its threshold along x" in text
    per = families(LBFGS, *own, "--per", "doubling")[0]["maps"][0]
    assert per["largest"] == pytest.approx(pinn["largest"])  # 10 to 20 is one


def test_thresholds_carry_over_by_value_or_by_the_place_in_the_range():
    by_value = families(LBFGS, NODE)[0]["carry_over"]
    by_range = families(LBFGS, NODE, "--carried", "range")[0]["carry_over"]
    assert by_value[LBFGS][LBFGS] == by_value[NODE][NODE] == 1
    assert by_range[NODE][NODE] == 1 and set(by_range) == set(by_range[LBFGS]) == {LBFGS, NODE}


def test_published_values_stand_beside_computed_ones_and_have_the_papers_thresholds():
    result, text = families(PUBLISHED, LBFGS, "--paper")
    published, computed = result["maps"]
    assert published["n_seeds"] == 0 and published["largest"] is None and published["of_means"] > 0
    assert published["filled"] == 1 and computed["filled"] < 1
    assert computed["thresholds_note"] and f"2 {computed['thresholds_note']}" in text
    assert set(result["carry_over"]) == {PUBLISHED, LBFGS} and f"1 {PUBLISHED}" in text
    assert str(SourcedMap.parse(PUBLISHED)) == PUBLISHED and SourcedMap.parse(PUBLISHED).source == "published"


def test_without_a_name_there_is_one_map_per_family_and_problem():
    names = [row["map"] for row in families()[0]["maps"]]
    assert LBFGS not in names and PUBLISHED in names  # of eight cells
    assert NODE in names and len(names) == len({tuple(name.split("/")[:2]) for name in names})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pinn/convection/cl"], "No computed run of pinn/convection/cl is stored"),
        (["published:convection"], "A map is named family/problem/strategy"),
        ([LBFGS, "--rule", "absolute"], "The rule absolute needs both thresholds"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(words, sentence):
    with pytest.raises(BadRequest, match=sentence):
        families(*words)


def test_the_verb_is_on_the_command_line(capsys):
    assert main(["families", LBFGS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["maps"][0]["map"] == LBFGS
