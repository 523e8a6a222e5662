"""The comparison on the command line has the numbers of the Compare page."""

import argparse
import json
import math

import pytest

from sciml_backend.__main__ import main
from sciml_backend.commands.compare import Compare
from sciml_backend.run import BadRequest, Curve
from sciml_backend.store import spool
from tests.commands.conftest import ended

LBFGS, ALM = "pinn/convection/lbfgs", "pinn/convection/alm"


def record(strategy, beta, data, seed, loss):
    loss *= 1 + 0.1 * seed
    curve = Curve([0, 20], [0, 25], [0.0, 1.0], [9.0, loss], [9.0, loss])
    return ended(f"pinn/convection/{strategy}", {"beta": beta}, data, seed, loss, curve=curve)


@pytest.fixture(autouse=True)
def stored(results):
    """L-BFGS is low at β = 5, ALM at β = 5 and 10."""
    cells = [(beta, data, seed) for beta in (5, 10, 30) for data in (100, 500) for seed in range(3)]
    runs = [record("lbfgs", b, n, s, 0.01 if b == 5 else 1.0) for b, n, s in cells]
    runs += [record("alm", b, n, s, 0.01 if b <= 10 else 1.0) for b, n, s in cells]
    spool.write_runs(runs, results, batch_id="compare:0", axis="beta")


def compare(*words):
    command, parser = Compare(), argparse.ArgumentParser()
    command.configure(parser)
    result = command.execute(parser.parse_args([*words, "--rule", "absolute", "--train", "0.1", "--test", "0.1"]))
    json.dumps(result, allow_nan=False)
    return result, command.text(result)


def test_methods_stand_beside_the_baseline():
    result, text = compare(LBFGS, ALM)
    (method,) = result["methods"]
    cell = next(c for c in method["cells"] if (c["x"], c["y"]) == (10, 100))
    assert cell["improvement"] == pytest.approx(99) and cell["verdict"] == "BETTER"
    moved = next(row for row in method["shift"] if (row["metric"], row["level"]) == ("test", 0))
    assert (moved["cells"], moved["n_both"], moved["n_larger"]) == (pytest.approx(1), 2, 2)
    wins = {(row["x"], row["y"]): (row["winner"], row["state"]) for row in result["winners"]}
    assert wins[10, 500] == (ALM, "WON") and wins[5, 500] == ("", "TIED")
    assert {row["x"]: row["low"] for row in result["winners"]} == {5: True, 10: True, 30: False}
    assert [(row["map"], row["I"], row["II"]) for row in result["regimes"]] == [(LBFGS, 2, 4), (ALM, 4, 2)]
    assert f"{ALM}: boundaries along x" in text and "test_error at the end" in text


def test_a_budget_is_that_of_every_run():
    result, text = compare(LBFGS, ALM, "--evaluations", "24")
    assert {row["state"] for row in result["winners"]} == {"TIED"} and "at 24 evaluations of each run" in text
    assert compare(LBFGS, ALM, "--seconds", "1")[0]["winners"] == compare(LBFGS, ALM)[0]["winners"]


def test_thresholds_rest_on_the_published_map_until_the_baseline_is_full():
    command, parser = Compare(), argparse.ArgumentParser()
    command.configure(parser)
    counts = command.execute(parser.parse_args([LBFGS, ALM]))["regimes"]
    assert all(math.isfinite(row["I"]) for row in counts) and sum(counts[0][n] for n in ("I", "II", "III", "IV")) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([LBFGS, "pinn/wave/alm"], "Maps of one family and problem are compared"),
        ([LBFGS, LBFGS], "A comparison takes two maps"),
        ([LBFGS, "pinn/convection/cl"], "No computed run of pinn/convection/cl is stored"),
        ([LBFGS, ALM, "--evaluations", "-1"], "A budget is at least 0 evaluations"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(words, sentence):
    with pytest.raises(BadRequest, match=sentence):
        compare(*words)


def test_the_verb_is_on_the_command_line(capsys):
    assert main(["compare", LBFGS, ALM, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == LBFGS
