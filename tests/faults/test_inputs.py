"""Some of the generated inputs, and those that were once answered wrongly; ``make faults`` generates thousands."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from jobs import __main__ as jobs
from pages import services
from sciml_backend import __main__ as backend
from sciml_backend import catalog_record, paths
from sciml_backend.run import BadRequest
from sciml_backend.store.batch import read_header
from sciml_backend.store.connection import Store
from tests.faults.inputs import INPUTS, batch
from tests.faults.world import World


@pytest.fixture
def world(tmp_path):
    with World(tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", INPUTS)
def test_what_is_refused_is_refused_with_one_sentence_and_changes_nothing(kind, world):
    tried, problems = INPUTS[kind](world, 60)
    assert tried >= 60 and not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "words", [["list", "--limit", "9" * 25], ["priority", "x", "-" + "9" * 25], ["logs", "x", "--lines=x"]]
)
def test_a_number_that_nobody_can_mean_is_refused(words, world, capsys):
    with pytest.raises(SystemExit) as end:
        jobs.main(words)
    assert end.value.code == 2 and "whole number" in capsys.readouterr().err


@pytest.mark.parametrize(("main", "words"), [(jobs.main, ["cancel", "\udcff"]), (backend.main, ["import", "\udcff"])])
def test_bytes_that_are_no_text_are_refused(main, words, world, capsys):
    assert main(words) == 2
    assert "bytes that are not UTF-8, in '\\udcff'" in capsys.readouterr().err


def test_an_unknown_diagnostic_is_refused_before_it_is_queued(world, capsys):
    words = ["submit", "pinn/convection/lbfgs", "--set", "beta=5", "--data", "100", "--what", "horoscope"]
    assert jobs.main(words) == 2
    assert "horoscope" in capsys.readouterr().err and not world.control.jobs()


@pytest.mark.parametrize(
    "entry", [{"written_at": []}, {"written_at": None}, {"members": [{"batch_id": [], "cells": "", "n_rows": 1}]}]
)
def test_a_header_of_other_types_never_reaches_the_spool(entry, world, capsys):
    """One that did kept the store from taking in anything."""
    file = batch(world)
    table = pq.read_table(file)
    header = json.loads(table.schema.metadata[b"atlas"]) | entry
    strange = world.folder / "strange.parquet"
    pq.write_table(table.replace_schema_metadata({"atlas": json.dumps(header)}), strange)
    assert backend.main(["import", str(strange)]) == 2
    assert "not a results file of Regime Atlas" in capsys.readouterr().err and not list(paths.spool_new().glob("*"))


def test_a_text_that_is_not_utf_8_is_one_sentence(world, capsys):
    table = pq.read_table(batch(world))
    strange = pa.array([b"\xed\xa0"] * table.num_rows).view(pa.string())
    place = table.schema.get_field_index("reason")
    pq.write_table(table.set_column(place, "reason", strange), world.folder / "strange.parquet")
    assert backend.main(["import", str(world.folder / "strange.parquet")]) == 2
    assert "its data cannot be read (a text is not UTF-8" in capsys.readouterr().err


def test_a_column_that_is_there_twice_is_named(world):
    table = pq.read_table(batch(world))
    pq.write_table(table.append_column("status", table.column("status")), world.folder / "twice.parquet")
    with pytest.raises(BadRequest, match="twice or in another type, the column.s. status"):
        read_header(world.folder / "twice.parquet")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["import", "a\nb"], "There is no results file a\\nb; check the path.\n"),
        (["backup", "--restore", "é" * 300], f"{'é' * 300} is not a backup: File name too long.\n"),
    ],
)
def test_a_name_that_no_file_has_is_one_sentence(words, sentence, world, capsys):
    assert backend.main(words) == 2
    assert capsys.readouterr().err == sentence


def test_a_measurement_of_no_rows_is_refused(world, capsys):
    """It once measured a million."""
    assert backend.main(["bench", "store", "--rows", "0"]) == 2
    assert "--rows is at least 1, got 0" in capsys.readouterr().err


ODD_LINKS = [
    {"family": "nothing", "problem": "", "strategy": "é" * 300, "variant": "@@", "source": "dreamt"},
    {"x": "nan", "y": "1e308", "rule": "x", "f_train": "-1", "high": "inf"},
    {"x": "1e400", "y": "-5", "seed": "9" * 25, "show": "spectrum", "radius": "7"},
    {"x": "5", "y": "100", "seed": "-3", "show": "opinion", "along": "seconds"},
    {
        "source": "published",
        "x": "5",
        "y": "100",
        "marks": "seeds",
        "rule": "absolute",
        "t_train": "0",
        "t_test": "1e9",
    },
]


@pytest.mark.parametrize("page", ["regime_map", "cell", "jobs", "methods"])
def test_pages_open_at_any_link(page, world):
    with Store.open() as store:
        services.provide(store, catalog_record.record())
        for link in ODD_LINKS:
            app = AppTest.from_file(str(paths.ROOT / "app.py"), default_timeout=30)
            app.run()
            app.switch_page(f"pages/{page}.py")
            for key, value in link.items():
                app.query_params[key] = value
            app.run()
            assert not app.exception, (link, app.exception)
