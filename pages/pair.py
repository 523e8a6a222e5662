"""A method beside its baseline: where it improves, and how far it moves the boundaries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from pages import charts, comparison, words
from pages.choice import Axis, Same
from pages.comparison import Comparison
from sciml_backend import figures, regimes

BOUNDARY = {"train": "training boundary", "test": "test boundary"}


def shared(compared: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both maps on the columns and rows that both have, complete and in order; never change them."""
    return _shared(Same(compared.runs), compared.pair)


def gain(compared: Comparison, metric: str) -> pd.DataFrame:
    """The improvement per shared cell, of means or of equal seeds; never change it."""
    return _gain(Same(compared.runs), compared.pair, metric, st.session_state["gain"] == "paired")


def gains(compared: Comparison) -> pd.DataFrame:
    """The improvements of both metrics as one table, for a file."""
    return pd.concat([gain(compared, metric).assign(metric=metric) for metric in words.TITLES], ignore_index=True)


@lru_cache(maxsize=16)
def _shared(runs: Same, pair: tuple[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    base, method = (comparison.grids(runs)[name] for name in pair)
    return regimes.on_shared_axes(base, method)


@lru_cache(maxsize=32)
def _gain(runs: Same, pair: tuple[str, str], metric: str, paired: bool) -> pd.DataFrame:
    table = regimes.improvement(*_shared(runs, pair), metric)
    if not paired:
        return table
    first, second = (runs.frame[runs.frame["map"] == name] for name in pair)
    found = regimes.paired_improvement(first, second, metric)
    return table.drop(columns="improvement").merge(found, on=["x", "y"], how="left")


def improvements(compared: Comparison) -> None:
    """A panel per metric, with the boundaries of both."""
    names = compared.pair_labels
    st.caption(_summary(compared))
    levels = compared.levels if st.session_state["band"] else (0.0,)
    drawn = [
        regimes.boundaries(grid, compared.thresholds[name], levels=levels)
        for grid, name in zip(shared(compared), compared.pair, strict=True)
    ]
    for column, (metric, title) in zip(st.columns(2, gap="medium"), words.TITLES.items(), strict=True):
        base, method = ([b for b in lines if b.metric == words.OF_METRIC[metric]] for lines in drawn)
        table = gain(compared, metric)
        figure = figures.improvement_map(
            table,
            names=names,
            boundaries=(base, method),
            factors=st.session_state["gain"] == "factor",
            title=f"{title}: improvement by {names[1]}",
            **charts.options(compared.base),
        )
        alt = f"{title}: relative improvement of {names[1]} over {names[0]} per cell, with the boundaries of both"
        with column:
            charts.show(figure, f"gain_{metric}", table, alt)


def _summary(compared: Comparison) -> str:
    """In how many cells the method is lower or higher, and in how many surely."""
    said = []
    for metric, title in words.TITLES.items():
        verdicts = compared.verdicts(metric)
        found = verdicts[verdicts["map"] == compared.pair[1]]["verdict"].value_counts()
        better, lower, worse, higher = (sum(int(found.get(v.name, 0)) for v in of) for of in _VERDICTS)
        open_cells = int(found.get(regimes.Verdict.UNDECIDABLE.name, 0))
        undecided = f", {open_cells} not decidable with fewer than {regimes.LEAST_SEEDS} seeds" if open_cells else ""
        said.append(
            f"**{title}**: lower in {better + lower} of {found.sum()} cells, significantly in {better}; "
            f"higher in {worse + higher}, significantly in {worse}{undecided}."
        )
    return f"Runs {compared.when}; {_cuts(compared)}. {' '.join(said)} {TEST}"


def _cuts(compared: Comparison) -> str:
    """The thresholds in numbers, once if they are the same for both."""
    cuts = [compared.thresholds[name].of(compared.grid(name)) for name in compared.pair]
    said = [f"T train = {words.number(train)}, T test = {words.number(test)}" for train, test in dict.fromkeys(cuts)]
    named = [f"{label}: {text}" for label, text in zip(compared.pair_labels, said, strict=False)]
    return said[0] if len(said) == 1 else "; ".join(named)


_V = regimes.Verdict
_VERDICTS = ((_V.BETTER, _V.RESCUED), (_V.LOWER,), (_V.WORSE, _V.LOST), (_V.HIGHER,))
TEST = (
    f"Geometric means over seeds; significant is p < {regimes.SIGNIFICANCE:g} in Welch's t test on their logarithms, "
    "for each cell alone, or that all runs of the other were lost."
)


def shift(compared: Comparison, along: str) -> pd.DataFrame:
    """The shift of both boundaries; see ``regimes.boundary_shift``."""
    first, second = (compared.thresholds[name] for name in compared.pair)
    return regimes.boundary_shift(*shared(compared), (first, second), levels=compared.levels, along=along)


def shifts(compared: Comparison) -> None:
    """How far the boundaries moved, per perturbation, and where they are on each line."""
    x, y = compared.base.x, compared.base.y
    st.markdown("#### How far the boundaries moved", help=_SHIFT)
    ways = {"x": f"along {x.label}", "y": f"along {_symbol(y)}"}
    along = str(
        st.segmented_control(
            "Boundaries located", list(ways), format_func=ways.__getitem__, key="lines", required=True, help=_SHIFT
        )
    )
    table = shift(compared, along)
    axis, line = (x, y) if along == "x" else (y, x)
    kind = "rows" if along == "x" else "columns"
    rows: dict[str, dict[str, str]] = {}
    for row in regimes.shift_summary(table).to_dict("records"):
        rows.setdefault(_level(row["level"]), {}).update(_moved(row, axis, kind))
    st.table(words.table(rows).rename_axis("threshold"), border="horizontal")
    st.caption(
        f"Medians over the {kind} on which both have the boundary. The counts of smaller and larger {_symbol(axis)} "
        "take in those on which one of the two lies beyond the map."
    )
    with st.expander(f"The {kind} one by one, at the threshold as set"):
        st.table(_lines(table[table["level"] == 0], axis, line, compared), border="horizontal")
        st.caption(
            "With < or > it lies before the first or beyond the last cell; – is hidden by a missing or diverged cell."
        )


_SHIFT = (
    "On each row (or column) a boundary lies where the metric first rises above its threshold on the way from the easy "
    "end (small coefficient, many data) to the hard one, by linear interpolation between cells. The test boundary is "
    "located whatever the training loss is there."
)


def _level(level: float) -> str:
    return f"{level:+.0%}".replace("-", "−") if level else "as set"


def _symbol(axis: Axis) -> str:
    return axis.label.split()[-1]


def _moved(row: dict[str, Any], axis: Axis, kind: str) -> dict[str, str]:
    """The median shift of one boundary, on how many lines it rests, and which way the boundary went on how many."""
    total = sum(int(row[name]) for name in ("n_both", "n_base_only", "n_method_only", "n_neither"))
    on = f"{row['n_both']} of {total} {kind}"
    median = f"{_signed(row['cells'])} cells, {_symbol(axis)} {_signed(row['units'])} ({on})" if row["n_both"] else on
    return {
        f"{BOUNDARY[row['metric']]}": median,
        f"{row['metric']}: smaller / larger {_symbol(axis)}": f"{row['n_smaller']} / {row['n_larger']}",
    }


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{'+' if value > 0 else ''}{words.number(value, digits=2)}"


def _lines(table: pd.DataFrame, axis: Axis, line: Axis, compared: Comparison) -> pd.DataFrame:
    """Where both boundaries lie on each line, in the unit of the axis, with the shift in cells."""
    xs, ys = regimes.axes(shared(compared)[0])
    rows: dict[str, dict[str, str]] = {}
    for row in table.sort_values("line").to_dict("records"):
        found = rows.setdefault(f"{_symbol(line)} = {row['line']:g}", {})
        for side, name in zip(("base", "method"), compared.pair_labels, strict=True):
            place = row[f"{side}_place"], row[f"{side}_value"]
            text = _place(*place, xs) if axis == compared.base.x else _place(*place, ys[::-1])
            found[f"{row['metric']}, {name}"] = text
        found[f"{row['metric']}, cells"] = _signed(row["cells"])
    return words.table(rows)


def _place(place: str, value: float, axis: np.ndarray) -> str:
    """A boundary in the unit of its axis (values from the easy end to the hard one), or the end that it is beyond."""
    if place == regimes.Place.INSIDE.name:
        return words.number(value)
    ends = {regimes.Place.BEFORE.name: axis[0], regimes.Place.BEYOND.name: axis[-1]}
    if place not in ends:
        return "–"
    return f"{'>' if ends[place] == axis.max() else '<'} {ends[place]:g}"
