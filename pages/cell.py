from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from pages import activity, address, cell_summary, choice, diagnostics, fill, results, services, words
from pages.choice import Choice
from sciml_backend import figures, regimes
from sciml_backend.run import RunSpec

services.guard()

COLUMNS = [
    "train_loss",
    "test_error",
    "heldout_error",
    "test_error_l1",
    "gradient_norm",
    "iterations",
    "evaluations",
    "seconds",
]
ALONG = {"iteration": "iterations", "evaluations": "evaluations", "seconds": "seconds"}


def choose(chosen: Choice) -> tuple[float, float] | None:
    """The cell's selectors and the way back to the map."""
    xs, ys = regimes.axes(choice.complete(chosen))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cell = cell_summary.choose(chosen, xs.tolist(), ys.tolist())
        st.page_link(
            "pages/regime_map.py",
            label="Show on the map",
            icon=":material/arrow_back:",
            query_params=address.current(address.MAP, address.CELL, address.THRESHOLDS, address.DISPLAY),
        )
    return cell


def history(runs: pd.DataFrame) -> None:
    """The seeds' curves."""
    along = st.segmented_control(
        "Curves against", list(ALONG), format_func=ALONG.__getitem__, key="along", required=True,
        help="Evaluations count every computation of loss and gradient on all data: a product with the Hessian is two, "
        "a step on a batch the part of the data that it saw.",
    )  # fmt: skip
    figure = cell_summary.cell_curves(runs, along=along)
    st.plotly_chart(figure, key="curves", config=cell_summary.SAVING, alt="Training loss and test error of each seed")


def details(runs: pd.DataFrame) -> None:
    """One seed's solution, curvature and origin, one view at a time."""
    seeds = runs["seed"].tolist()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = choice.select(
            "Seed", "seed", seeds, str, width=110, help="Which run of the cell the views below are about."
        )
        titles = {name: view.title for name, view in diagnostics.views().items()} | {"provenance": "Provenance"}
        view = choice.select(
            "View", "show", list(titles), titles.__getitem__, widget=st.segmented_control, required=True,
            help="What is drawn below; what is not stored yet is computed on request.",
        )  # fmt: skip
    run = runs[runs["seed"] == seed].iloc[0]
    spec = RunSpec.from_json(json.loads(run["spec"]))
    if view == "provenance":
        provenance(run, spec)
    else:
        diagnostics.show(view, spec)


def provenance(run: pd.Series, spec: RunSpec) -> None:
    """Where the numbers come from, and how to get them again."""
    if run["kernel"] == services.record()["families"].get(spec.family, {}).get("kernel"):
        st.markdown("This command computes the run again, here bit by bit:")
    else:
        st.markdown(
            "This command computes the run again. Its kernel (code, compiler and processor) was not the one of this "
            "server: the last bits differ, and as training is chaotic a single hard run ends elsewhere."
        )
    st.code(command(spec, run), language="bash", wrap_lines=True)
    facts = {
        "outcome": f"{words.status_sentence(run['status'])} {run['reason']}",
        "precision": spec.dtype,
        "protocol": f"{spec.protocol}, version {run['protocol_version']}",
        "device": f"{run['device']}, {run['threads']} thread{'' if run['threads'] == 1 else 's'}",
        "kernel": f"{run['kernel']}, {run['chunk']} points at a time, {run['batch_rows']} runs in the batch",
        "versions": run["versions"],
        "finished": run["finished_at"],
        "cell": spec.cell_id,
    }
    st.table(words.table({name: {"": str(fact)} for name, fact in facts.items()}), border="horizontal")


def command(spec: RunSpec, run: pd.Series) -> str:
    """The command line that trains this run on the same kind of device."""
    usual = {
        c["name"]: c["default"] for c in services.record()["problems"].get(spec.problem, {}).get("coefficients", ())
    }
    given = {name: value for name, value in spec.coefficients.items() if usual.get(name) != value}
    sets = " ".join(f"--set {k}={_short(v)}" for k, v in {**given, **spec.model, **spec.settings}.items())
    points = f" --data-seed {spec.data_seed}" if spec.data_seed else ""
    place = " --device cuda" if run["device"].startswith("cuda") else ""
    threads = f" --threads {run['threads']}" if run["threads"] != 1 else ""
    return (
        f"python -m sciml_backend run {spec.family}/{spec.problem}/{spec.strategy} {sets} "
        f"--data {spec.data} --seed {spec.seed}{points} --dtype {spec.dtype}{place}{threads}"
    )


def _short(value: object) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def with_sharpness(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The runs with λmax where some diagnostic found it."""
    found = [_sharpness(cell_id) for cell_id in runs["cell_id"]]
    if all(value is None for value in found):
        return runs, COLUMNS
    return runs.assign(lambda_max=pd.Series(found, index=runs.index, dtype=float)), [*COLUMNS, "lambda_max"]


def _sharpness(cell_id: str) -> float | None:
    for row in results.diagnostics(cell_id).to_dict("records"):
        numbers, settings = json.loads(row["numbers"]), json.loads(row["settings"])
        if settings.get("data"):  # of some samples alone
            continue
        if row["kind"] == "hessian_extremes" and settings.get("at") == "final":
            return float(numbers["lambda_max"])
        if row["kind"] == "spectrum":
            return float(numbers["lambda_max_final"])
    return None


def trained(chosen: Choice, cell: tuple[float, float], runs: pd.DataFrame) -> None:
    """All that is known of a computed cell."""
    table, columns = with_sharpness(runs)
    st.table(words.seed_table(table, columns), border="horizontal")
    cell_summary.explain(chosen, columns)
    history(runs)
    st.subheader("One run")
    details(runs)


address.restore("cell", address.MAP, address.CELL, address.RUN)
address.hold(address.MAP, address.CELL, address.RUN)
with st.container(horizontal=True, vertical_alignment="bottom"):
    chosen = choice.pick()
cell = choose(chosen)
if cell is None:
    st.info("Choose a cell here, or click one on the Regime map.", icon=":material/info:")
else:
    st.subheader(f"{chosen.x.label} = {figures.tick(chosen.x.label, cell[0])}, {chosen.y.label} = {cell[1]:g}")
    runs = results.cell_runs(str(chosen.name), chosen.source, x=cell[0], y=cell[1])
    if chosen.source == "published":
        cell_summary.show(chosen, cell)
    elif runs.empty:
        st.info("Nothing is stored of this cell yet.", icon=":material/info:")
        fill.fill(chosen)
        activity.follow(str(chosen.name))
    else:
        trained(chosen, cell, runs)
address.keep(address.MAP, address.CELL, address.RUN)
