"""Regime Atlas: regime maps of scientific machine learning, computed, stored and drawn.

>>> import sciml_backend
>>> sciml_backend.read("pinn/convection/lbfgs", source="published").shape[0]
144
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"


def read(name: str, *, source: str = "computed", curves: bool = False) -> pd.DataFrame:
    """One row per stored run of the map ``family/problem/strategy[@variant]``; see ``store.transfer.read``.

    With ``curves``, five columns hold each run's history as lists.
    """
    from sciml_backend.store.transfer import read as read_map

    return read_map(name, source=source, curves=curves)
