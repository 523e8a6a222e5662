"""Generated inputs: command lines, links and import files that make sense, that make none, and mixtures of both.

Whatever is refused is refused with one sentence, without a traceback, and changes neither job control nor the spool.
"""

from __future__ import annotations

import contextlib
import io
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings

from jobs import __main__ as jobs
from pages import address
from sciml_backend import __main__ as backend
from sciml_backend import paths
from sciml_backend.run import RunRecord, Status
from sciml_backend.store import spool
from sciml_backend.store.batch import RUN_SCHEMA
from tests.faults.world import World

Check = Callable[[Any], str]

ODD_NUMBERS = [
    "0",
    "-1",
    "1",
    "3",
    "2.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "9" * 25,
    "-" + "9" * 25,
    "٣",
    "1,2",
    "1,,2",
    ",",
]
ODD_WORDS = ["", " ", "-", "--", "=", "\udcff", "a\nb", "../..", "'; DROP TABLE job; --", "é" * 300, "%s%n", "\x1b[31m"]
MAPS = ["pinn/convection/lbfgs", "pinn/wave/adam", "pinn/convection/lbfgs@float64", "pinn/convection/nothing",
        "fno/convection/lbfgs", "pinn//lbfgs", "a/b/c/d", "pinn/convection/lbfgs@@"]  # fmt: skip
SETTINGS = ["beta=5", "beta=5,10", "beta=nan", "beta=1e400", "beta=", "=5", "beta", "rho=3", "width=4", "width=0",
            "width=x", "depth=-1", "max_epochs=1", "max_epochs=true", "history=1.5", "tolerance_grad=inf",
            "dtype=float64"]  # fmt: skip

texts = st.one_of(
    st.sampled_from(ODD_WORDS),
    st.text(st.characters(exclude_characters="\0/", exclude_categories=()), max_size=12),  # no name outside our folder
)
numbers = st.one_of(st.sampled_from(ODD_NUMBERS), st.sampled_from(ODD_NUMBERS), st.integers(-5, 2000).map(str))
maps = st.one_of(st.sampled_from(MAPS), texts)
files = st.one_of(st.sampled_from(["out.csv", "out.parquet", "out.txt", "nowhere/out.csv", "."]), texts)
devices = st.one_of(st.sampled_from(["cpu", "cuda", "cuda:99", "tpu"]), texts)


def option(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Nothing, or the option with a value, now and then as one word."""
    apart, together = values.map(lambda value: [name, value]), values.map(lambda value: [f"{name}={value}"])
    return st.one_of(st.just([]), apart, together)


def line(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[str]]:
    """A command line of words and lists of words, some of it perhaps left out or doubled."""
    whole = st.tuples(*parts).map(
        lambda found: [word for part in found for word in ([part] if isinstance(part, str) else part)]
    )
    spoilt = st.tuples(whole, st.integers(0, 9), texts).map(lambda t: [*t[0][: t[1]], t[2], *t[0][t[1] + 1 :]])
    return st.one_of(whole, whole, spoilt)


runs = (
    maps,
    st.lists(st.one_of(st.sampled_from(SETTINGS), texts).map(lambda pair: ["--set", pair]), max_size=3).map(
        lambda pairs: [word for pair in pairs for word in pair]
    ),
    option("--data", numbers),
    option("--seed", numbers),
    option("--seeds", numbers),
    option("--data-seed", numbers),
    option("--dtype", st.sampled_from(["float32", "float64", "float16"])),
)
# What would train for long ends at a device that is not there.
no_work = st.sampled_from([["--device", "tpu"], ["--device", "cuda:99"], ["--device", ""]])
work = (option("--threads", numbers), option("--out", texts))


def job_lines(job_ids: list[str]) -> st.SearchStrategy[list[str]]:
    """Command lines of ``python -m jobs``."""
    ids = st.one_of(st.sampled_from(job_ids), texts)
    as_json = st.sampled_from([[], ["--json"]])
    return st.one_of(
        line(st.just("list"), option("--limit", numbers), as_json),
        line(
            st.just("submit"),
            *runs,
            option("--device", devices),
            option("--what", st.one_of(st.just("hessian_extremes"), texts)),
            option("--priority", numbers),
            option("--by", texts),
        ),
        *(line(st.just(verb), ids, as_json) for verb in ("cancel", "retry", "requeue")),
        line(st.just("priority"), ids, numbers),
        line(st.just("logs"), ids, option("--lines", numbers), as_json),
        line(st.just("usage"), as_json),
        texts.map(lambda word: ["work", f"x{word}"]),
        st.lists(texts, max_size=3),
    )


backend_lines = st.one_of(
    line(
        st.just("regimes"),
        maps,
        option("--source", st.sampled_from(["computed", "published", "dreamt"])),
        option("--rule", st.sampled_from(["range", "percentile", "absolute", "x"])),
        option("--train", numbers),
        option("--test", numbers),
        option("--perturbation", numbers),
    ),
    line(st.just("export"), maps, files, option("--source", st.sampled_from(["computed", "published"]))),
    line(st.just("import"), files),
    line(st.just("withdraw"), texts, option("--reason", texts), option("--by", texts)),
    line(st.just("backup"), option("--restore", files)),
    line(st.just("run"), *runs, *work).flatmap(lambda words: no_work.map(lambda end: [*words, *end])),
    line(st.just("sweep"), *runs, *work, option("--workers", numbers)).flatmap(
        lambda words: no_work.map(lambda end: [*words, *end])
    ),
    line(st.just("diagnose"), *runs, option("--what", st.one_of(st.just("spectrum"), texts)), *work).flatmap(
        lambda words: no_work.map(lambda end: [*words, *end])
    ),
    st.tuples(st.just("bench"), st.just("store"), st.sampled_from(["--rows=0", "--rows=-1", "--rows=x"])).map(list),
    st.lists(texts, max_size=3),
)


def command_lines(world: World, n: int) -> tuple[int, list[str]]:
    """``n`` command lines: how many were tried, and what was wrong with the answers."""
    job_ids = [world.submit(2) for _ in range(2)]
    world.control.cancel(job_ids[0], actor="test")
    work = world.folder / "work"
    work.mkdir(exist_ok=True)

    def of(main: Callable[[list[str]], int]) -> Check:
        return lambda words: _answer(world, main, words)

    with contextlib.chdir(work):
        one, its = _many(n // 2, job_lines(job_ids), of(jobs.main))
        other, theirs = _many(n - n // 2, backend_lines, of(backend.main))
    return one + other, its + theirs


def links(_: World, n: int) -> tuple[int, list[str]]:
    """``n`` queries of an address, as read by the pages."""
    keys = st.sampled_from([*address.PARAMETERS, "unknown"])
    found = st.one_of(numbers, texts, st.sampled_from(["range", "absolute", "solution", "published", "x" * 5000]))
    return _many(n, st.dictionaries(keys, found, max_size=8), _misread)


def import_files(world: World, n: int) -> tuple[int, list[str]]:
    """``n`` files for ``import``; what was accepted is taken into the index."""
    seed = batch(world)
    whole, table = seed.read_bytes(), pq.read_table(seed)
    seed.unlink()
    folder = world.folder / "files"
    folder.mkdir(exist_ok=True)

    def check(file: tuple[str, bytes]) -> str:
        path = folder / file[0]
        path.write_bytes(file[1])
        return _answer(world, backend.main, ["import", str(path)])

    tried, problems = _many(n, _files(whole, table), check)
    from sciml_backend.store.connection import Store

    with Store.open() as store:
        rejected = store.rows("SELECT file, reason FROM quarantine")
    return tried, problems + [f"{file} was accepted, then put aside: {reason}" for file, reason in rejected]


def _many(n: int, inputs: st.SearchStrategy[Any], check: Check) -> tuple[int, list[str]]:
    tried, problems = 0, []

    @settings(max_examples=n, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def one(value: Any) -> None:
        nonlocal tried
        tried += 1
        try:
            problem = check(value)
        except Exception:
            problem = traceback.format_exc()
        if problem:
            problems.append(f"{value!r:.300}: {problem}")

    one()
    return tried, problems


def _answer(world: World, main: Callable[[list[str]], int], words: list[str]) -> str:
    """What is wrong with the answer to a command line; empty when nothing is."""
    before = _state(world)
    # As a terminal's are: what cannot be encoded is an error on the one and escaped on the other.
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code, by_parser = main(words), False
        except SystemExit as end:
            code, by_parser = end.code, True
        out.flush()
    err.flush()
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if code == 0:
        return "" if "Traceback" not in said else said
    if code != 2:
        return f"exit code {code}"
    if _state(world) != before:
        return "it was refused, but something has changed"
    sentence = said.rpartition("error: ")[2] if by_parser else said
    if by_parser and "usage: " not in said:
        return f"no usage: {said}"
    if not sentence.strip() or "Traceback" in said:
        return f"no sentence: {said!r}"
    if not by_parser and (sentence.count("\n") != 1 or sentence.rstrip()[-1] != "."):
        return f"not one sentence: {sentence!r}"
    return ""


def _state(world: World) -> tuple[int, dict[str, int]]:
    """What a refusal must leave as it is."""
    batches = {path.name: path.stat().st_mtime_ns for path in (paths.var() / "spool").rglob("*") if path.is_file()}
    return world.control.last_event(), batches


def _misread(query: dict[str, str]) -> str:
    """What is wrong with the values read from a query: each is of its kind, and its own text means the same."""
    values = address._read(query, address.PARAMETERS)
    for key, value in values.items():
        default = address.PARAMETERS[key].default
        if type(value) is not type(default) and not (default is None and isinstance(value, float)):
            return f"{key} is {value!r}"
    again = address._read(address.query(values), address.PARAMETERS)
    if address.query(again) != address.query(values):
        return f"{values} became {again}"
    return ""


def batch(world: World) -> Path:
    """A batch that may be imported."""
    records = [
        RunRecord(spec=cell, status=Status.STALLED, reason="Made up.", train_loss=1.0, theta_final=bytes(20))
        for cell in world.new_cells(3)
    ]
    (path,) = spool.write_runs(records, world.folder, batch_id="import", axis="beta")
    return path


def _files(whole: bytes, table: pa.Table) -> st.SearchStrategy[tuple[str, bytes]]:
    names = st.sampled_from(["a.parquet", "b.csv", "ü x.json", "c~0123456789abcdef.parquet", "d"])
    flipped = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)).map(
        lambda t: whole[: t[0]] + bytes([t[1]]) + whole[t[0] + 1 :]
    )
    cut = st.integers(0, len(whole)).map(lambda k: whole[:k])
    plain = st.lists(st.tuples(texts, numbers), max_size=5).map(
        lambda rows: "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")
    )
    as_json = st.recursive(
        st.none() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
    ).map(lambda content: json.dumps(content).encode())
    spoilt = st.one_of(_spoilt_rows(table), _spoilt_header(table), _other_columns(table)).map(_parquet)
    return st.tuples(names, st.one_of(st.binary(max_size=200), flipped, cut, plain, as_json, spoilt, spoilt, spoilt))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _spoilt_rows(table: pa.Table) -> st.SearchStrategy[pa.Table]:
    """One column with other values of its type, or rows doubled, dropped and reordered."""
    clean = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    values: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.string(): st.one_of(clean, st.sampled_from(["{}", "[]", "null", '{"beta": NaN}', '{"beta": 5.0}'])),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float64(): st.floats(),
    }
    columns = [name for name in RUN_SCHEMA.names if RUN_SCHEMA.field(name).type in values]

    def spoil(name: str) -> st.SearchStrategy[pa.Table]:
        kind = RUN_SCHEMA.field(name).type
        rows = st.lists(st.none() | values[kind], min_size=table.num_rows, max_size=table.num_rows)
        place = table.schema.get_field_index(name)
        return rows.map(lambda found: table.set_column(place, table.schema.field(place), pa.array(found, kind)))

    shuffled = st.lists(st.integers(0, table.num_rows - 1), max_size=5).map(
        lambda rows: table.take(pa.array(rows, pa.int64()))
    )
    return st.one_of(st.sampled_from(columns).flatmap(spoil), shuffled)


def _spoilt_header(table: pa.Table) -> st.SearchStrategy[pa.Table]:
    """A header with an entry of another type or value, or without it."""
    header = json.loads(table.schema.metadata[b"atlas"])
    odd = st.one_of(
        st.none(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2), st.just({}),
        st.sampled_from(["runs", "artifacts", "withdrawals", "import", "x" * 3000, "a/b", "../../x", "2026-01-01"]),
        st.sampled_from([[{"batch_id": "m", "cells": "c", "n_rows": 1}], [{"batch_id": None}], header["cells"]]),
    )  # fmt: skip
    entries = st.dictionaries(st.sampled_from([*header, "members", "more"]), odd, min_size=1, max_size=2)
    changed = entries.map(lambda found: json.dumps(header | found))
    texts_of_it = st.one_of(changed, changed, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    return texts_of_it.map(lambda text: table.replace_schema_metadata({"atlas": text}))


def _other_columns(table: pa.Table) -> st.SearchStrategy[pa.Table]:
    """A column missing, of another type, twice, or one too many."""

    def change(name: str, how: str) -> pa.Table:
        place = table.schema.get_field_index(name)
        nothing = pa.array([None] * table.num_rows, pa.list_(pa.int8()))
        match how:
            case "missing":
                return table.drop_columns([name])
            case "other":
                return table.set_column(place, name, nothing)
            case "twice":
                return table.append_column(name, table.column(name))
            case _:
                return table.append_column("more", nothing)

    names = st.sampled_from(table.column_names)
    return st.builds(change, names, st.sampled_from(["missing", "other", "twice", "more"]))


INPUTS = {"command lines": command_lines, "links": links, "import files": import_files}
