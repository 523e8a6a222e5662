"""The command line as people type it, in real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from sciml_backend.__main__ import verbs
from sciml_backend.commands.diagnose import _plain as plain_numbers
from sciml_backend.commands.run import _plain
from sciml_backend.run import Curve
from sciml_backend.store import spool

ROOT = Path(__file__).resolve().parents[2]
MAP = "pinn/convection/lbfgs"
SMALL = ["--set", "width=8", "--set", "depth=1", "--set", "max_epochs=2"]


@pytest.fixture
def atlas(tmp_path: Path) -> Any:
    """Run ``python -m sciml_backend`` with a data folder of its own."""

    def call(*words: str, data: Path = tmp_path / "var", results: Path = tmp_path / "results") -> Any:
        env = {**os.environ, "ATLAS_DATA": str(data), "ATLAS_RESULTS": str(results), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "sciml_backend", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=300)

    return call


def ok(done: Any) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_catalogue_prints_names_that_can_be_asked_for(atlas: Any) -> None:
    done = atlas("catalog")
    assert done.returncode == 0, done.stderr
    blocks = re.split(r"\n(?=  \S)", done.stdout)
    darcy, poisson, convection = (
        next(block for block in blocks if block.startswith(f"  {name}\n"))
        for name in ("pino/darcy", "fno/poisson_2d", "pinn/convection")
    )
    assert "adam, lbfgs, alm, nncg, cl (also @coarse)" in darcy and "K: 1-2.5, 2.5-5," in poisson
    assert "lbfgs" in convection and "(only @float64,depth=2,width=10, @depth=2,width=10)" in convection


def test_a_run_prints_its_record(atlas: Any) -> None:
    record = ok(
        atlas("run", MAP, "--set", "beta=5", "--data", "100", "--seed", "0", "--dtype", "float32", *SMALL, "--json")
    )
    asked = "status reason train_loss test_error heldout_error iterations evaluations seconds device dtype protocol"
    assert set(asked.split()) <= set(record)
    assert record["coefficients"] == {"beta": 5.0} and record["data"] == 100


def test_a_run_prints_its_history_on_request(atlas: Any) -> None:
    words = ["run", MAP, "--set", "beta=5", "--data", "100", *SMALL, "--json"]
    curve = ok(atlas(*words, "--curves"))["curve"]
    assert set(curve) == {"iteration", "evaluations", "seconds", "train_loss", "test_error"}
    assert len(curve["iteration"]) == len(curve["train_loss"]) > 1
    assert "curve" not in ok(atlas(*words))
    assert _plain(Curve(train_loss=[1.0, float("inf")]))["train_loss"] == [1.0, None]


def test_a_range_goes_by_its_name(atlas: Any) -> None:
    tiny = ["--set", "modes=2", "--set", "layers=1", "--set", "grid=32", "--set", "steps=2"]
    record = ok(atlas("run", "fno/poisson_2d/adam", "--set", "K=2.5-5", "--data", "4", *tiny, "--json"))
    assert record["coefficients"] == {"K": 2.5} and record["iterations"] == 2


def test_several_seeds_are_one_batch(atlas: Any) -> None:
    records = ok(atlas("run", MAP, "--set", "beta=5", "--data", "6000", "--seeds", "0,1,2,3,4", *SMALL, "--json"))
    assert [r["seed"] for r in records] == [0, 1, 2, 3, 4] and {r["batch_rows"] for r in records} == {5}


def test_a_sweep_resumes_and_its_map_has_regimes(atlas: Any, tmp_path: Path) -> None:
    words = ["sweep", MAP, "--set", "beta=5,10,30", "--data", "100,200", "--seeds", "0", *SMALL, "--json"]
    done = atlas(*words, "--workers", "2")
    first, lines = ok(done), done.stderr.splitlines()
    assert (first["runs"], first["existed"], first["trained"]) == (6, 0, 6)
    assert lines[0] == f"{first['map']}: 6 runs, 6 to train, not in costs.json (bench cost times it)."
    assert lines[-1] == f"{first['map']}: 6 of 6 runs"
    second = ok(atlas(*words))
    assert (second["existed"], second["trained"]) == (6, 0)
    out = tmp_path / "out.csv"
    assert ok(atlas("export", first["map"], str(out), "--json"))["rows"] == 6 and out.exists()
    found = ok(atlas("regimes", first["map"], "--json"))
    assert set(found["thresholds"]) == {"train", "test"} and len(found["cells"]) == 6
    assert set(found["cells"][0]) == {"x", "y", "train", "test", "seeds", "label"}


@pytest.mark.parametrize(
    ("number", "whom", "code", "words"),
    [
        (signal.SIGKILL, "a worker", 2, "A worker was killed (out of memory, perhaps); the batches that had ended"),
        (signal.SIGINT, "all", 130, "Stopped; what was finished is kept."),
    ],
)
def test_a_sweep_whose_workers_end_keeps_what_had_ended(
    tmp_path: Path, number: int, whom: str, code: int, words: str
) -> None:
    out = tmp_path / "out"
    asked = ["--set", "beta=5", "--data", "100,20000", "--seeds", "0,1", "--set", "width=50", "--set", "max_epochs=50"]
    command = [sys.executable, "-m", "sciml_backend", "sweep", MAP, *asked, "--out", str(out), "--workers", "2"]
    env = {**os.environ, "ATLAS_DATA": str(tmp_path / "var"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as sweep:
        deadline = time.monotonic() + 120
        while not list(out.rglob("*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.1)
        workers = [p for p in psutil.Process(sweep.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        if whom == "all":
            os.killpg(sweep.pid, number)
        else:
            max(workers, key=lambda worker: worker.cpu_times().user).send_signal(number)
        _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == code and err.splitlines()[-1].startswith(words), err
    assert "Traceback" not in err and spool.existing_cells(out)
    assert not any(worker.is_running() for worker in workers)


def test_a_sweep_says_in_advance_what_it_costs(atlas: Any, tmp_path: Path) -> None:
    costs = tmp_path / "results" / "costs.json"
    costs.parent.mkdir()
    costs.write_text(json.dumps({MAP: {"seconds_fixed": 100, "seconds_per_point": 0.5, "iterations": 9}}))
    words = ["sweep", MAP, "--set", "beta=5,10,30", "--data", "100,1000", "--dry-run", "--out", str(tmp_path / "own")]
    found = ok(atlas(*words, "--json"))
    assert found == {"map": MAP, "runs": 6, "existed": 0, "core_hours": 3 * (200 + 550) / 3600}
    assert atlas(*words).stdout == f"{MAP}: 6 runs, 6 to train, some 0.62 core-hours by costs.json.\n"
    assert [p.name for p in costs.parent.iterdir()] == [costs.name] and not (tmp_path / "own").exists()


def test_a_map_that_is_not_full_is_labelled_as_its_page_labels_it(atlas: Any) -> None:
    ok(atlas("run", MAP, "--set", "beta=5", "--data", "100", "--set", "max_epochs=1", "--json"))
    name = f"{MAP}@max_epochs=1"
    found = ok(atlas("regimes", name, "--perturbation", "0.4", "--json"))
    published = ok(atlas("regimes", MAP, "--source", "published", "--json"))
    assert found["thresholds"] == published["thresholds"] and found["filled"] == pytest.approx(1 / 144)
    assert found["thresholds_note"].startswith("1 of 144 cells are computed; until the map is full, the rule reads")
    assert {b["level"] for b in found["boundaries"]} == {-0.4, -0.2, 0.0, 0.2, 0.4}


def test_published_regimes_come_from_the_shipped_tables(atlas: Any) -> None:
    found = ok(atlas("regimes", MAP, "--source", "published", "--json"))
    assert len(found["cells"]) == 144 and found["boundaries"]


def test_a_diagnostic_of_a_run_that_is_not_stored_trains_it(atlas: Any) -> None:
    words = ["diagnose", MAP, "--set", "beta=5", "--data", "100", "--seed", "0", "--what", "hessian_extremes", *SMALL]
    done = atlas(*words, "--json")
    assert ok(done)["numbers"]["lambda_max"] > 0 and "training it first" in done.stderr
    assert "training" not in atlas(*words, "--json").stderr


def test_a_diagnostic_finds_a_run_in_the_folder_it_is_told(atlas: Any, tmp_path: Path) -> None:
    words = [MAP, "--set", "beta=5", "--data", "100", "--seed", "0", *SMALL, "--out", str(tmp_path / "own"), "--json"]
    ok(atlas("run", *words))
    done = atlas("diagnose", *words, "--what", "hessian_extremes")
    assert ok(done)["numbers"]["lambda_max"] > 0 and "training" not in done.stderr


def test_numbers_that_are_none_print_as_such() -> None:
    assert plain_numbers({"a": {"b": float("inf")}, "c": [1.0, float("nan")]}) == {"a": {"b": None}, "c": [1.0, None]}
    said = verbs()["diagnose"].text({"what": "solution", "map": MAP, "seconds": 1.0, "numbers": {"a": None, "bc": 2.0}})
    assert said.splitlines()[1:] == ["a   –", "bc  2"]


def test_results_travel_by_file(atlas: Any, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    ok(atlas("run", MAP, "--set", "beta=5", "--data", "100", *SMALL, "--json", data=theirs))
    (file,) = (theirs / "spool" / "new").glob("*.parquet")
    assert ok(atlas("import", str(file), "--json", data=ours))["rows"] == 1
    text = atlas("import", str(ROOT / "README.md"), data=ours)
    assert text.returncode == 2 and text.stderr.count("\n") == 1 and "Traceback" not in text.stderr


def test_a_withdrawn_run_is_trained_again(atlas: Any) -> None:
    words = ["sweep", MAP, "--set", "beta=5", "--data", "100", "--seeds", "0", *SMALL, "--json"]
    cell = ["run", MAP, "--set", "beta=5", "--data", "100", "--seed", "0", *SMALL, "--json"]
    cell_id = ok(atlas(*cell))["cell_id"]
    assert ok(atlas(*words))["trained"] == 0
    found = ok(atlas("withdraw", cell_id, "--reason", "wrong points", "--by", "ada", "--json"))
    assert (found["cell_id"], found["withdrawn_by"]) == (cell_id, "ada")
    (line,) = ok(atlas("withdraw", "--list", "--json"))["withdrawals"]
    assert (line["reason"], line["x"], line["seed"]) == ("wrong points", 5.0, 0)
    assert "wrong points" in atlas("withdraw", "--list").stdout
    again = atlas("withdraw", cell_id, "--reason", "wrong points")
    assert again.returncode == 2 and "was withdrawn already" in again.stderr and again.stderr.count("\n") == 1
    assert ok(atlas(*words))["trained"] == 1 and ok(atlas(*words))["trained"] == 0


def test_a_backup_is_made_listed_and_restored(atlas: Any, tmp_path: Path) -> None:
    ok(atlas("run", MAP, "--set", "beta=5", "--data", "100", *SMALL, "--json"))
    made = ok(atlas("backup", "--json"))["made"]
    assert ok(atlas("backup", "--list", "--json"))["backups"] == [made]
    (file,) = (tmp_path / "var" / "spool" / "new").glob("*.parquet")
    file.unlink()
    assert "put back: 1," in atlas("backup", "--restore", Path(made).name).stdout and file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "pinn/convection"], "A map is named"),
        (["run", "pinn/convektion/lbfgs"], "no problem 'convektion'"),
        (["run", MAP, "--set", "beta=1000", "--data", "100"], "between 0 and 100"),
        (["run", MAP, "--set", "beta=5", "--data", "25501"], "25,500"),
        (["run", MAP, "--set", "beta=five", "--data", "100"], "numbers separated by commas"),
        (["run", "fno/poisson_2d/adam", "--set", "K=1-2", "--data", "9"], "separated by commas, or 1-2.5, 2.5-5, 5-10"),
        (["run", MAP, "--set", "beta=5,6", "--data", "100"], "trains one cell"),
        (["run", MAP, "--set", "beta=5"], "trains one cell"),
        (["run", MAP, "--set", "beta=5", "--data", "100", "--device", "tpu"], "cpu, cuda or cuda:N"),
        (["diagnose", MAP, "--set", "beta=5", "--data", "100", "--what", "colour"], "no diagnostic 'colour'"),
        (["regimes", "pinn/wave/lbfgs"], "No computed run"),
        (["export", MAP, "out.xlsx"], ".parquet or .csv"),
        (["import", "nowhere.parquet"], "no results file"),
        (["backup", "--restore", "nowhere"], "is not a backup"),
        (["withdraw"], "give --list"),
        (["withdraw", "five", "--reason", "why"], "is a UUID"),
        (["withdraw", "00000000-0000-0000-0000-000000000000", "--reason", "why"], "No run of cell"),
        (["withdraw", "00000000-0000-0000-0000-000000000000"], "needs a reason"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(atlas: Any, tmp_path: Path, words: list[str], said: str) -> None:
    done = atlas(*words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_that_cannot_take_results_is_refused_before_anything_is_computed(atlas: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for verb, words in (("run", []), ("sweep", []), ("diagnose", ["--what", "solution"])):
        done = atlas(verb, MAP, "--set", "beta=5", "--data", "100", *words, "--out", str(tmp_path / "file"))
        assert done.returncode == 2 and "name another folder with --out" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_diagnostics_setting_is_checked_before_its_run_is_trained(atlas: Any, tmp_path: Path) -> None:
    words = ["diagnose", MAP, "--set", "beta=5", "--data", "100", "--what", "landscape", "--with", "radios=1", *SMALL]
    done = atlas(*words)
    assert done.returncode == 2 and "no setting 'radios'" in done.stderr and not list(tmp_path.rglob("*.parquet"))


def test_every_verb_explains_itself(atlas: Any) -> None:
    for verb in verbs():
        assert atlas(verb, "--help").returncode == 0


def test_claims_say_what_is_missing(atlas: Any) -> None:
    ok(atlas("run", MAP, "--set", "beta=5", "--data", "100", "--json", *SMALL))
    found = ok(atlas("claims", "--resamples", "5", "--json"))
    assert {row["claim"] for row in found} == {f"C{k:02d}" for k in range(1, 14)}
    families = {row["statement"].split()[0]: row for row in found if row["claim"] == "C01"}
    assert set(families) == {"PINN", "FNO", "PINO", "NODE", "PINODE"}
    assert families["NODE"]["missing"] == ["node/pendulum/adam"] and families["NODE"]["judgement"] == "not computed"
    assert families["PINN"]["maps"] == [{"map": MAP, "cells": 0, "seeds": ""}] and families["PINN"]["published"] > 0
    said = atlas("claims", "--resamples", "5").stdout
    assert "not computed: node/pendulum/adam" in said and "few seeds make it a rough one" in said
