from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages import services, words
from sciml_backend import regimes

services.guard()


def plain(doc: str) -> str:
    """A docstring as Markdown: its double backticks and lone line ends are plain text's."""
    return re.sub(r"(?<!\n)\n(?!\n|[-*] )", " ", doc.replace("``", "`")).replace("*", "\\*")


def problems(entries: Mapping[str, Any]) -> None:
    """Equations, coefficients and amounts of data."""
    for name, entry in entries.items():
        with st.container(border=True):
            st.markdown(f"#### {entry['label']}  :small[:gray[`{name}`]]")
            st.markdown(f"**{entry['equation']}**")
            st.markdown(plain(entry["doc"]))
            st.markdown("\n".join(map(_span, [*entry["coefficients"], entry["data"]])))
            if entry["note"]:
                st.warning(entry["note"], icon=":material/warning:")


def _span(number: Mapping[str, Any]) -> str:
    """The range of a coefficient or of the amount of data, and its values on the map."""
    usual = number.get("default")
    fixed = f"; {usual:g} unless chosen" if usual is not None else ""
    values = number.get("names") or [f"{v:g}" for v in number["axis"]]
    axis = "; on the map " + ", ".join(values) if values else ""
    return f"- **{number['label']}** from {number['low']:g} to {number['high']:g}{fixed}{axis}"


def entries(found: Mapping[str, Any]) -> None:
    """Whatever has a label, a docstring and settings."""
    for name, entry in found.items():
        with st.container(border=True):
            st.markdown(f"#### {entry['label']}  :small[:gray[`{name}`]]")
            st.markdown(plain(entry["doc"]))
            settings = entry.get("settings") or {}
            if settings:
                rows = [
                    {"setting": f"`{key}`", "default": f"{s['default']}", "meaning": s["doc"]}
                    for key, s in settings.items()
                ]
                said = any(row["meaning"] for row in rows)
                st.table(
                    [row if said else {k: row[k] for k in ("setting", "default")} for row in rows], border="horizontal"
                )


def families(found: Mapping[str, Any], strategies: Mapping[str, Any]) -> None:
    """The families, and what they set their model, their loss and their strategies to."""
    for name, entry in found.items():
        with st.container(border=True):
            st.markdown(f"#### {entry['label']}  :small[:gray[`{name}`]]")
            st.markdown(plain(entry["doc"]))
            sets = {"model": entry["model"], "loss": entry["loss"]}
            sets |= {strategies[key]["label"]: chosen for key, chosen in entry["strategies"].items()}
            st.markdown("\n".join(f"- **{of}**: {_pairs(chosen)}" for of, chosen in sets.items() if chosen))


def _pairs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}` {value}" for key, value in settings.items())


def reading() -> None:
    """What a regime map shows."""
    st.markdown(
        "A regime map trains one kind of network on a grid: the problem's coefficient (how hard the physics is) "
        "along x, "
        "the amount of data along y, several seeds per cell. Colours are the means over the seeds that ended "
        "with finite "
        "values. Two thresholds cut the map into regimes (arXiv:2605.29153)."
    )
    st.markdown("\n".join(f"- **{regime.value}** {regime.sentence}" for regime in regimes.REGIMES))
    st.markdown("**Thresholds** follow from a rule, the same for all cells of a map:")
    st.markdown(
        "- *Share of the range*: T = p5 + f (p95 − p5) of the map's values; f = 0.30 gives the paper's Table 5 back "
        "on its PINN convection map. The paper itself states no rule that fits all its maps.\n"
        "- *Percentile*: T is that percentile of the map's values.\n"
        "- *Value*: T itself, with the paper's Table 5 as presets.\n\n"
        "**Boundaries** are linear contours of the seed means between cells, at five levels: the rule's number "
        "as it is, and 10 % and 20 % smaller and larger (adjustable). The training boundary is solid; the test "
        "boundary is dashed and drawn where the training loss is below its threshold. Lines cross rows and columns "
        "of which nothing is computed yet; they keep away from single missing cells."
    )
    st.markdown("**Numbers of a run**")
    st.markdown(words.metrics(words.METRICS))
    for family in record["families"].values():
        if own := family.get("metrics"):
            st.markdown(f"*{family['label']}*\n\n{words.metrics(own, own)}")
    st.markdown(
        "**Chaos.** A start changed by 10⁻⁷ ends a factor of 2 to 4 away in final loss: judge a cell by its "
        "seeds, never by "
        "one. On a CPU the command on the Cell page reproduces a run bit by bit."
    )


def comparing() -> None:
    """What the Compare page does."""
    st.markdown(
        "A baseline and a method are compared on the columns and rows that both have, and, unless chosen otherwise, by "
        "the baseline's thresholds, so that only cells move and not the yardstick. Runs are read at their end or at a "
        "budget that each of them has: then the last logged point within it counts, and a run that diverges later has "
        "not diverged yet."
    )
    st.markdown(
        "**Relative improvement** is (baseline − method) / baseline of the means over the seeds that ended with finite "
        "values, or the mean of that over equal seeds.\n\n"
        "**A boundary's shift** is measured on each row (or column): from the easy end to the hard one, the boundary "
        "lies at the first rise above the threshold, by linear interpolation between cells. Where it lies beyond the "
        "map, the direction of the shift may be known but not its size; such lines are counted, never guessed.\n\n"
        f"**Who wins** is decided by the geometric mean over seeds, as losses span decades. {wins()} A seed that "
        "diverged or failed counts as the worst value of its cell. With three seeds only differences beyond the "
        "scatter of seeds, often a factor of several, are significant."
    )


def wins() -> str:
    """The test behind the mark, in a sentence."""
    level = f"{regimes.SIGNIFICANCE:g}"
    return f"A mark says that Welch's t test on the logarithms finds p < {level} against the next, for each cell alone."


record = services.record()
st.title("Methods")
st.caption(f"Regime Atlas {record['version']}, numerical protocol {record['protocol_version']}")
chapters = {
    "Reading a map": reading,
    "Comparing strategies": comparing,
    "Problems": lambda: problems(record["problems"]),
    "Families": lambda: families(record["families"], record["strategies"]),
    "Models": lambda: entries(record.get("models", {})),
    "Strategies": lambda: entries(record["strategies"]),
    "Losses": lambda: entries(record.get("losses", {})),
    "Diagnostics": lambda: entries(record["diagnostics"]),
}
for tab, draw in zip(st.tabs(list(chapters)), chapters.values(), strict=True):
    with tab:
        draw()
