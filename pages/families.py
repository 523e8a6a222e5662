from __future__ import annotations

import pandas as pd
import streamlit as st

from pages import (
    address,
    carried,
    cell_summary,
    charts,
    choice,
    family_maps,
    services,
    sharpness,
    threshold_controls,
    tools,
    words,
)
from pages.family_maps import Shown
from sciml_backend import figures, regimes

services.guard()

GROUPS = (address.FAMILIES, address.THRESHOLDS)
WIDTH = 296  # pixels of a panel: four stand beside each other on a wide screen, one on a telephone


def view(chosen: list[choice.Choice]) -> None:
    """Everything that moves with a control or a click."""
    address.hold(*GROUPS)
    if "open_map" in st.session_state:
        _follow(st.session_state.pop("open_map"))
        return
    maps = family_maps.shown(chosen, threshold_controls.rule())
    _legend()
    with st.container(horizontal=True, gap="small"):
        for shown in maps:
            with st.container(width=WIDTH, gap=None):
                _panel(shown)
    left, right = st.columns(2, gap="large")
    with left:
        sharpness.show(maps)
    with right:
        carried.show(maps)
    address.keep(*GROUPS)
    _tools(maps)


def _legend() -> None:
    """The colours of the regimes and the lines of the boundaries, once for all panels."""
    patches = [
        f'<span style="white-space:nowrap" title="{regime.sentence}"><span style="display:inline-block;width:.9em;'
        f'height:.9em;background:{figures.REGIME_COLOURS[regime.value]};vertical-align:-.1em"></span> '
        f"<b>{regime.value}</b> {words.REGIMES[regime.value]}</span>"
        for regime in regimes.REGIMES
    ]
    lines = [
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:1.6em;border-top:2px {dash} '
        f'currentColor;vertical-align:.25em"></span> {metric} boundary</span>'
        for metric, dash in (("training", "solid"), ("test", "dashed"))
    ]
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:.2em 1.4em">{"".join(patches + lines)}</div>')


def _panel(shown: Shown) -> None:
    """A map by its regimes, with a link to its page; a click on a cell opens it there."""
    shares = regimes.shares(shown.cells["label"])
    said = ", ".join(f"{numeral} {words.percent(share)}" for numeral, share in shares.items())
    st.page_link(
        "pages/regime_map.py",
        label=f"**{shown.number} · {shown.problem}**",
        query_params=_address(shown),
        help=f"{shown.problem}, {shown.strategy}: open its regime map with these thresholds.",
    )
    filled = "" if shown.footing.filled >= regimes.FULL else f" · {words.percent(shown.footing.filled)} computed"
    st.caption(f"{shown.strategy}{filled}  \n{said}", help=shown.footing.note or None)
    key = f"family_map_{shown.number}"
    figure = figures.label_map(
        shown.cells,
        boundaries=regimes.boundaries(shown.cells, shown.thresholds, levels=(0.0,)),
        n_clicks=charts.n_clicks(),
        x_title=shown.choice.x.label,
        y_title=shown.choice.y.label,
    )
    st.plotly_chart(
        figure,
        key=key,
        on_select=charts.on_click(lambda: _open(shown, key)),
        selection_mode="points",
        config=cell_summary.PLAIN,
        alt=f"Regimes of {shown.problem}, {shown.strategy}: {said}",
    )


def _address(shown: Shown, **cell: float) -> dict[str, str]:
    name = shown.choice.name
    parts = {"family": name.family, "problem": name.problem, "strategy": name.strategy, "variant": name.variant}
    return address.current(address.THRESHOLDS, **parts, source=shown.choice.source, **cell)


def _open(shown: Shown, key: str) -> None:
    cell = figures.clicked_cell(shown.cells, st.session_state[key]["selection"])
    if cell is not None:
        st.session_state["open_map"] = _address(shown, x=cell[0], y=cell[1])


def _follow(query: dict[str, str]) -> None:
    """A link to a map that the browser follows by itself.

    Never ``st.switch_page``: until the server's new page arrives the browser goes on asking for its timed fragments,
    and when it then hears of one that belongs to the old page it clears the new one. A link changes the page at once.
    """
    with st.container(key="open_map"):
        st.page_link("pages/regime_map.py", label="Opening the cell on its regime map …", query_params=query)
    st.html(_CLICK, unsafe_allow_javascript=True)


_CLICK = """<script>
  const look = () => {
    const link = document.querySelector(".st-key-open_map a");
    link ? link.click() : requestAnimationFrame(look);
  };
  look();
</script>"""


def _tools(maps: list[Shown]) -> None:
    """Downloads and the link."""
    table, shares = sharpness.numbers(maps), carried.shares(maps)
    names = pd.Index([m.key for m in maps], name="map")
    shares = shares.set_axis(names).set_axis(names, axis=1)
    tables: dict[str, tuple[str, tools.Table]] = {
        "Transitions": ("Each map's transition, as shown.", lambda: table),
        "Carry-over": ("The matrix, as shown.", lambda: shares),
    }
    tools.show("families", tables)


address.restore("families", *GROUPS)
chosen = family_maps.pick()
if chosen:
    services.fragment(view)(chosen)
else:
    st.info("No map is stored yet; train one on the **Regime map** page, and it stands here.", icon=":material/info:")
    address.hold(*GROUPS)
    address.keep(*GROUPS)
