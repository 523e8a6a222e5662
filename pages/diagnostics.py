"""A run's diagnostics: drawn where they are stored, computed on request where they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from jobs import queue
from jobs.job import JobInfo
from pages import activity, address, cell_summary, results, services, words
from sciml_backend import figures
from sciml_backend.run import Artifact, BadRequest, RunSpec, Setting

DELIVERY_SECONDS = 10
"""The store takes a job's result in within this time, or it will not come."""
RADII = {0.5: "0.5", 0.05: "0.05, as in the paper's Fig. 5"}


@dataclass(frozen=True)
class View:
    """How a diagnostic is shown: its identifier in the catalogue, its title, what draws it, and what it tells."""

    kind: str
    title: str
    draw: Callable[[Artifact, RunSpec], None]
    explained: str


def views() -> dict[str, View]:
    """All views by their names in an address; a diagnostic that has none of its own is shown by its numbers."""
    drawn = {view.kind for view in VIEWS.values()}
    plain = {
        kind: View(kind, known["label"], _plain, known["doc"].split("\n\n")[0])
        for kind, known in services.record()["diagnostics"].items()
        if kind not in drawn
    }
    return VIEWS | plain


def show(name: str, spec: RunSpec) -> None:
    """One diagnostic of one run: the stored one, or the button that computes it."""
    view = views()[name]
    st.caption(view.explained)
    kind, changes = view.kind, _settings(name)
    found = results.artifact(spec.cell_id, kind, _complete(kind, changes))
    if found is not None:
        view.draw(found, spec)
        if "published_scale" in found.numbers:
            scale = words.number(found.numbers["published_scale"])
            st.caption(
                f"The published loss adds up where this one is a mean: it and its curvature are {scale} times these."
            )
        st.caption(f"Computed in {words.number(found.seconds)} s, {found.finished_at[:16].replace('T', ' ')}.")
    else:
        _offer(spec, kind, changes, title=view.title)


def _settings(name: str) -> dict[str, Setting]:
    """What of the diagnostic can be chosen here."""
    if name != "landscape":
        return {}
    radius = st.segmented_control(
        "Radius", list(RADII), format_func=RADII.__getitem__, key="radius", required=True,
        help="How far the plane reaches, in units of the weights' filter norms.",
    )  # fmt: skip
    return {} if radius == address.PARAMETERS["radius"].default else {"radius": radius}


def _complete(kind: str, changes: Mapping[str, Setting]) -> tuple[tuple[str, Setting], ...]:
    """All settings of a diagnostic as they are stored with its results."""
    defaults = services.record()["diagnostics"].get(kind, {}).get("settings", {})
    return tuple(({name: entry["default"] for name, entry in defaults.items()} | dict(changes)).items())


# -- computing --------------------------------------------------------------------------------------------------------


def _offer(spec: RunSpec, kind: str, changes: dict[str, Setting], *, title: str) -> None:
    """A button, or how far its job is."""
    job = _job(spec, kind, changes)
    if job is not None and _awaited(job):
        _wait(job.job_id, title)
        return
    if job is not None and job.error_text:
        st.error(job.error_text)
    st.markdown(f"Not computed for this run yet: {title.lower()}.")
    if st.button(f"Compute the {title.lower()}", type="primary", icon=":material/play_arrow:"):
        _submit(spec, kind, changes)


def _submit(spec: RunSpec, kind: str, changes: dict[str, Setting]) -> None:
    try:
        job = queue.submit_diagnostic(spec, kind, settings=changes, requested_by=activity.visitor(), priority=1)
    except BadRequest as refusal:
        st.error(str(refusal))
    else:
        activity.remember(job)
        st.rerun()


def _job(spec: RunSpec, kind: str, changes: dict[str, Setting]) -> JobInfo | None:
    """The newest job that computes this, of those that the queue still lists."""
    same = (
        job
        for job in queue.jobs()
        if job.kind == "diagnose" and job.spec.get("diagnostic") == kind and job.spec.get("settings", {}) == changes
    )
    mine = [job for job in same if activity.concerns(job.job_id, spec.cell_id)]
    return max(mine, key=lambda job: job.created_at, default=None)


def _awaited(job: JobInfo) -> bool:
    """Whether a job's result may still come.

    It does not when the job ended well some time ago and the store has nothing: its file was removed since, or the
    defaults that it was computed with have changed.
    """
    if job.state is queue.State.SUCCEEDED and job.finished_at is not None:
        return activity.seconds_between(job.finished_at, None) < DELIVERY_SECONDS
    return job.state.active


def _wait(job_id: str, title: str) -> None:
    """Look every second until the result is in the store, or is not to be expected any more."""
    version = services.store().version()

    def look() -> None:
        job = queue.job(job_id)
        if services.store().version() != version or not _awaited(job):
            st.rerun()
        st.progress(0, f"{title}: {job.state.sentence.lower()}")

    services.fragment(look, run_every=1)()


# -- drawing ----------------------------------------------------------------------------------------------------------


def _solution(found: Artifact, spec: RunSpec) -> None:
    arrays = found.arrays
    fields = arrays["solution"], arrays["reference"]
    names = [name for name in arrays if name not in ("solution", "reference", "components")]
    axes = [arrays[name] for name in names]
    if len(axes) == 1:
        components = arrays.get("components", [""])
        figure = figures.profile(*axes, *fields, names=components, x_title=names[0])
    else:
        figure = figures.solution(*axes, *fields, x_title=names[0], t_title=names[1], height=340)
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Predicted and reference solution, and their difference")
    n = found.numbers
    _numbers({"Test error": n["test_error"], "Largest error": n["largest_error"]})
    if "floor" in n:
        _numbers({"Training loss": n["train_loss"], "of the true solution": n["floor"]})
        st.caption(
            "Even the true solution has a training loss. What ends below it is something else than the solution, "
            "which training prefers."
        )


def _spectrum(found: Artifact, spec: RunSpec) -> None:
    arrays, n = found.arrays, found.numbers
    figure = figures.spectrum(
        arrays["eigenvalue"],
        initial=arrays["density_initial"],
        final=arrays["density_final"],
        noise_floor=n["noise_floor_final"],
        linear_within=float(dict(found.settings).get("linear_within", 1e-4)),
    )
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Density of Hessian eigenvalues before and after training")
    ends = {"before": "initial", "after": "final"}
    _table(
        {
            f"{when} training": {
                "λmax": words.number(n[f"lambda_max_{end}"]),
                "λmin": words.number(n[f"lambda_min_{end}"]),
                "negative share": _pm(n, f"negative_share_{end}", f"negative_share_error_{end}"),
                "noise floor": words.number(n[f"noise_floor_{end}"]),
            }
            for when, end in ends.items()
        }
    )


def _landscape(found: Artifact, spec: RunSpec) -> None:
    arrays = found.arrays
    figure = figures.landscape(arrays["first"], arrays["second"], arrays["log10_loss"], titles=("d₁", "d₂"))
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Loss surface around the trained weights")
    n = found.numbers
    shown = {"Loss at the centre": n["loss"], "Lowest": n["lowest"], "Highest": n["highest"]}
    _numbers(shown | {"Eigenvalue of d₁": n.get("curvature_first"), "of d₂": n.get("curvature_second")})
    if found.settings["directions"] == "eigenvectors" and found.settings["normalise"] != "none":
        st.caption(
            "The eigenvalues are the Hessian's along d₁ and d₂ of length one. In the picture each "
            f"{found.settings['normalise']} of them has the norm of the run's weights, so it bends by other numbers."
        )


def _sharpness(found: Artifact, spec: RunSpec) -> None:
    n = found.numbers
    rows = {
        "λmax": (n["lambda_max"], n["lambda_max_residual"]),
        "λmin": (n["lambda_min"], n["lambda_min_residual"]),
        "trace": (n["trace"], n["trace_error"]),
    }
    _table({name: {"value": words.number(v), "±": words.number(e)} for name, (v, e) in rows.items()})


def _sharpening(found: Artifact, spec: RunSpec) -> None:
    columns = ("iteration", "train_loss", "lambda_max")
    history = pd.DataFrame({name: found.arrays[name] for name in columns} | {"seed": spec.seed})
    figure = figures.curves(history, columns[1:])
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Training loss and largest curvature against iterations")
    n = found.numbers
    ends = {"λmax before": n["lambda_max_initial"], "highest": n["lambda_max_highest"], "after": n["lambda_max_final"]}
    _numbers(ends)
    if not n["reproduced"]:
        st.caption("On this machine the run took another path than the stored one: its end differs in the last bits.")


def _ntk(found: Artifact, spec: RunSpec) -> None:
    arrays, n = found.arrays, found.numbers
    figure = figures.eigenvalues(
        {"before training": arrays["eigenvalues_initial"], "after training": arrays["eigenvalues_final"]},
        title="eigenvalue of the kernel",
        floor=max(n["floor_initial"], n["floor_final"]),
    )
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Eigenvalues of the kernel before and after training")
    _table(
        {
            f"{when} training": {
                "λmax": words.number(n[f"lambda_max_{end}"]),
                "condition number": words.number(n[f"condition_{end}"]),
                "effective rank": words.number(n[f"effective_rank_{end}"]),
                "above the floor": f"{n[f'rank_{end}']:.0f} of {n['residuals']:.0f}",
                "floor": words.number(n[f"floor_{end}"]),
            }
            for when, end in {"before": "initial", "after": "final"}.items()
        }
    )
    _numbers({"Drift of the kernel": n["drift"]})


def _stationary(found: Artifact, spec: RunSpec) -> None:
    values, n = found.arrays["eigenvalues"], found.numbers
    figure = figures.eigenvalues(
        {"positive": values[values > 0], "negative": -values[values < 0]},
        title="size of the Hessian's eigenvalue",
        floor=n["floor"],
    )
    st.markdown(f"**{_kind_of_point(n)}**")
    st.plotly_chart(figure, config=cell_summary.SAVING, alt="Eigenvalues of the Hessian at the end, by sign")
    counts = {name: n[name] for name in ("positive", "vanishing", "negative")}
    _numbers({f"{name} eigenvalues": count for name, count in counts.items()})
    _numbers({"Gradient norm": n["gradient_norm"], "Size of the output": n["output"], "Reachable": n["reachable"]})


TRIVIAL = 0.02
"""The network's output beside the reference below which it is as good as zero."""


def _kind_of_point(n: Mapping[str, float]) -> str:
    """What the numbers say of the end of a run."""
    if n["reachable"] > 0.5:
        return "No stationary point: a Gauss-Newton step would remove most of the loss."
    kind = "a saddle" if n["negative"] else "a minimum, as far as its vanishing eigenvalues let one see"
    return f"Near {kind}{', the trivial one: the output is zero' if n['output'] < TRIVIAL else ''}."


def _opinion(found: Artifact, spec: RunSpec) -> None:
    ours = results.artifact(spec.cell_id, "hessian_extremes", _complete("hessian_extremes", {}))
    n = found.numbers
    ends = (ours.numbers["lambda_max"], ours.numbers["lambda_min"]) if ours else ()
    _table(
        {
            "PyHessian": {_LARGEST: words.number(n["lambda_max"]), "trace": _pm(n, "trace", "trace_error")},
            "this project": {
                _LARGEST: words.number(max(ends, key=abs)) if ends else "–",
                "trace": _pm(ours.numbers, "trace", "trace_error") if ours else "–",
            },
        }
    )
    st.caption(f"PyHessian's trace stopped after {n['trace_samples']:.0f} samples.")
    if ours is None:
        st.caption("Compute the **sharpness** of this run to see both.")


_LARGEST = "λ of largest size"
"""What power iterations find: it may be negative."""


def _plain(found: Artifact, spec: RunSpec) -> None:
    _table({name.replace("_", " "): {"": words.number(value)} for name, value in found.numbers.items()})


def _numbers(values: Mapping[str, float | None]) -> None:
    shown = {name: value for name, value in values.items() if value is not None and np.isfinite(value)}
    st.markdown("&emsp;".join(f"{name} **{words.number(value)}**" for name, value in shown.items()))


def _table(rows: Mapping[str, Mapping[str, str]]) -> None:
    st.table(words.table(rows), border="horizontal", width="content")


def _pm(numbers: Mapping[str, float], name: str, error: str) -> str:
    tail = f" ± {words.number(numbers[error], digits=2)}" if error in numbers else ""
    return f"{words.number(numbers.get(name))}{tail}"


VIEWS = {
    "solution": View(
        "solution",
        "Solution",
        _solution,
        "What the network learned, what it should have learned, and the difference.",
    ),
    "spectrum": View(
        "spectrum",
        "Hessian spectrum",
        _spectrum,
        "Density of the eigenvalues of the loss's Hessian before and after training, on an axis that is "
        "linear near zero and logarithmic outside. Inside the noise floor (grey) an eigenvalue has no sign. A "
        "long right tail means stiff, sharp directions; a visible left side means a saddle.",
    ),
    "landscape": View(
        "landscape",
        "Loss landscape",
        _landscape,
        "The loss on a plane of weights around the end of the training, spanned by the two directions of "
        "largest curvature, rescaled filter by filter. A narrow valley is hard for first-order methods; a "
        "rugged plane is hard for all.",
    ),
    "sharpness": View(
        "hessian_extremes",
        "Sharpness",
        _sharpness,
        "Extreme eigenvalues and trace of the Hessian after training, each with its error. A high λmax means "
        "a sharp minimum; a negative λmin beyond its error means a saddle.",
    ),
    "stationary": View(
        "stationary_point",
        "Stationary point",
        _stationary,
        "All eigenvalues of the Hessian at the end, from the dense matrix: a saddle has negative ones beyond "
        "the floor (dotted). *Size of the output* is the network's norm beside the solution's: near 0 it "
        "learned the trivial solution. *Reachable* is the share of the loss that the best change of the "
        "weights could remove to first order. Minutes for 5,301 parameters.",
    ),
    "sharpening": View(
        "sharpening",
        "Sharpness while training",
        _sharpening,
        "The largest curvature λmax beside the training loss. It usually rises while the loss falls, then "
        "levels off. Computing it trains the run anew, so it takes as long as the training and more.",
    ),
    "ntk": View(
        "ntk",
        "Neural tangent kernel",
        _ntk,
        "Eigenvalues of the neural tangent kernel of all residuals: gradient descent shrinks an error along "
        "an eigenvector at a rate proportional to its eigenvalue, so what lies at the right end is learned "
        "last. This holds while the kernel barely moves: a drift near or above 1 says that it moved a lot.",
    ),
    "jumps": View(
        "basin_jumps",
        "Basin jumps",
        _plain,
        "From the trained weights on, plain SGD takes some hundred steps, on batches: how long they are. α is the "
        "exponent of the power law that their inverse lengths follow from *lowest* on, with its standard error; a "
        "small *distance* says that they do follow one.",
    ),
    "opinion": View(
        "pyhessian_opinion",
        "Second opinion",
        _opinion,
        "The same curvature by the PyHessian package, which shares no code with this project.",
    ),
}
