"""Every selection is in the address: a link reproduces the view, Back undoes a step, a page finds its view again.

Widgets carry the keys below. ``restore`` comes before a page's widgets, ``keep`` after them (in a fragment, near its
end), and the link to the view after that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

Value = str | float | int | bool | list[str] | None

_PAGE, _KEPT, _WRITTEN = "_page", "_kept", "_written"


@dataclass(frozen=True)
class Parameter:
    """One entry of the address: its value when absent, and how its text is read; ValueError means absent."""

    default: Value
    read: Callable[[str], Value]


def _switch(text: str) -> bool:
    return text == "1"


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return read


def _among(*numbers: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if float(text) not in numbers:
            raise ValueError
        return float(text)

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    return read


def _names(text: str) -> list[str]:
    """Names with semicolons between them; in older links with commas, of which variants have some of their own."""
    return [name for name in (text.split(";") if ";" in text else re.split(r",(?![\w.]+=)", text)) if name]


def _texts(**defaults: str) -> dict[str, Parameter]:
    return {key: Parameter(value, str) for key, value in defaults.items()}


def _numbers(low: float, high: float, /, **defaults: float | None) -> dict[str, Parameter]:
    return {key: Parameter(value, _between(low, high)) for key, value in defaults.items()}


MAP = _texts(family="pinn", problem="convection", strategy="lbfgs", variant="", source="computed")
CELL = _numbers(-inf, inf, x=None, y=None)
THRESHOLDS = {
    "rule": Parameter("range", _one_of("range", "percentile", "absolute")),
    **_numbers(0, 1, f_train=0.30, f_test=0.30),
    **_numbers(0, 100, p_train=50.0, p_test=50.0),
    **_numbers(0, 1e9, t_train=0.0038, t_test=0.434),
    **_numbers(0, 0.5, perturbation=0.20),
    **_numbers(0, 49, low=5.0),
    **_numbers(51, 100, high=95.0),
}
DISPLAY = {
    "log": Parameter(False, _switch),
    "paper": Parameter(False, _switch),
    "marks": Parameter("none", _one_of("none", "text", "outline", "seeds")),
}
RUN = {
    "seed": Parameter(0, int),
    "show": Parameter("solution", str),
    "along": Parameter("iteration", _one_of("iteration", "evaluations", "seconds")),
    "radius": Parameter(0.5, _among(0.5, 0.05)),
}
PROBLEM = {key: MAP[key] for key in ("family", "problem", "source")}
COMPARED = {
    **_texts(base="lbfgs", method=""),
    "among": Parameter([], _names),
    "yardstick": Parameter("base", _one_of("base", "own")),
    "gain": Parameter("means", _one_of("means", "paired", "factor")),
    "band": Parameter(False, _switch),
    "unit": Parameter("end", _one_of("end", "evaluations", "seconds")),
    **_numbers(1, 1e9, n_evaluations=2000.0, n_seconds=10.0),
    "lines": Parameter("x", _one_of("x", "y")),
    "cost": Parameter("evaluations", _one_of("evaluations", "seconds")),
    "until": Parameter("end", _one_of("end", "trained")),
    "metric": Parameter("test_error", _one_of("train_loss", "test_error")),
}
FAMILIES = {
    "maps": Parameter([], _names),
    **{key: COMPARED[key] for key in ("lines", "metric")},
    "per": Parameter("cells", _one_of("cells", "doubling")),
    "carried": Parameter("value", _one_of("value", "range")),
    "whose": Parameter("rule", _one_of("rule", "paper")),
}

PARAMETERS = {**MAP, **CELL, **THRESHOLDS, **DISPLAY, **RUN, **COMPARED, **FAMILIES}


def restore(page: str, *groups: dict[str, Parameter]) -> None:
    """Set the widgets' values from the address when it was opened or changed, else from the last visit of the page."""
    keys = [key for group in groups for key in group]
    address = st.query_params.to_dict()
    # Pages without an address of their own leave no mark, but the widgets' values are gone after them.
    entered = st.session_state.get(_PAGE) != page or keys[0] not in st.session_state
    st.session_state[_PAGE] = page
    if address and (entered or address != st.session_state.get(_WRITTEN)):
        values = _read(address, keys)
    elif entered:
        values = _read({}, keys) | st.session_state.get(_KEPT, {})
    else:
        return
    for key in keys:
        st.session_state[key] = values[key]


def hold(*groups: dict[str, Parameter]) -> None:
    """Give back the values of widgets that were not drawn for a while, which Streamlit forgets."""
    kept = st.session_state.get(_KEPT, {})
    for group in groups:
        for key, parameter in group.items():
            if key not in st.session_state:
                st.session_state[key] = kept.get(key, parameter.default)


def renew(*keys: str) -> None:
    """Send the values of these widgets along; comes before widgets within a popover, which the browser draws when that
    opens.

    A value is sent in the run that set it alone. A widget drawn later would take its own default, and report it.
    """
    for key in keys:
        st.session_state[key] = st.session_state[key]


def keep(*groups: dict[str, Parameter]) -> None:
    """Write the widgets' values into the address, those that are not the default, and remember them for other pages."""
    hold(*groups)
    now = {key: st.session_state[key] for group in groups for key in group}
    st.session_state[_KEPT] = st.session_state.get(_KEPT, {}) | now
    address = query(now)
    st.session_state[_WRITTEN] = address
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def query(values: dict[str, Value]) -> dict[str, str]:
    """The values as entries of an address, defaults left out."""
    return {key: _text(value) for key, value in values.items() if value != PARAMETERS[key].default}


def current(*groups: dict[str, Parameter], **changes: Value) -> dict[str, str]:
    """The address of the present choice within these groups, with some values changed; for links to other pages."""
    keys = [key for group in groups for key in group]
    return query({key: st.session_state[key] for key in keys if key in st.session_state} | changes)


def link() -> str:
    """The whole address of the present view."""
    parts = urlsplit(str(st.context.url or ""))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(st.query_params.to_dict()), ""))


def _read(address: dict[str, str], keys: Iterable[str]) -> dict[str, Value]:
    return {key: _value(PARAMETERS[key], address.get(key)) for key in keys}


def _value(parameter: Parameter, text: str | None) -> Value:
    if text is None:
        return parameter.default
    try:
        return parameter.read(text)
    except ValueError:
        return parameter.default


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return ";".join(value) + (";" if len(value) == 1 and "," in value[0] else "")
    if isinstance(value, float) and float(f"{value:.6g}") == value:
        return f"{value:.6g}"
    return str(value)
