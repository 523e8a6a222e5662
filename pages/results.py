"""Answers of the store, kept until it changes. What comes from here is shared by all visitors: never change it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from pages import services
from sciml_backend import regimes
from sciml_backend.run import Artifact, MapName, Setting
from sciml_backend.store import queries

if TYPE_CHECKING:
    from sciml_backend.store.connection import Store


def maps() -> pd.DataFrame:
    """All maps of which something is stored; see ``queries.maps``."""
    return _maps(*_now())


def grid(name: str, source: str) -> pd.DataFrame:
    """One row per cell; see ``queries.regime_grid``."""
    return _grid(*_now(), name, source)


def runs(name: str, source: str) -> pd.DataFrame:
    """One row per run; see ``queries.runs``."""
    return _runs(*_now(), name, source)


def cell_runs(name: str, source: str, *, x: float, y: float) -> pd.DataFrame:
    """One row per seed of a cell."""
    return _cell_runs(*_now(), name, source, x, y)


def curves(cell_ids: tuple[str, ...]) -> pd.DataFrame:
    """Histories in long form; see ``queries.curves``."""
    return _curves(*_now(), cell_ids)


def runs_at(names: tuple[str, ...], source: str, *, budget: float | None, unit: str) -> pd.DataFrame:
    """One row per run of several maps at a budget; see ``queries.runs_at``."""
    return _runs_at(*_now(), names, source, budget, unit)


def cost_to_reach(names: tuple[str, ...], source: str, train_loss: float) -> pd.DataFrame:
    """What runs of several maps took to reach a loss; see ``queries.cost_to_reach``."""
    return _cost_to_reach(*_now(), names, source, train_loss)


def readings(name: str) -> pd.DataFrame:
    """Published values with their uncertainty; see ``queries.published_values``."""
    return _readings(*_now(), name)


def diagnostics(cell_id: str) -> pd.DataFrame:
    """What is stored of a cell's diagnostics; see ``queries.artifacts``."""
    return _diagnostics(*_now(), cell_id)


def artifact(cell_id: str, kind: str, settings: tuple[tuple[str, Setting], ...]) -> Artifact | None:
    """A cell's diagnostic of a kind with these settings, with its arrays."""
    return _artifact(*_now(), cell_id, kind, settings)


def known_cells(cell_ids: tuple[str, ...]) -> frozenset[str]:
    """Those of the cells that have a run which did not fail."""
    return _known_cells(*_now(), cell_ids)


@lru_cache(maxsize=32)
def paper_boundaries(name: MapName) -> pd.DataFrame | None:
    """The points of the boundaries drawn in the paper; see ``regimes.paper_boundaries``."""
    return regimes.paper_boundaries(name)


def _now() -> tuple[Store, int]:
    store = services.store()
    return store, store.version()


@lru_cache(maxsize=4)
def _maps(store: Store, version: int) -> pd.DataFrame:
    return queries.maps(store)


@lru_cache(maxsize=32)
def _grid(store: Store, version: int, name: str, source: str) -> pd.DataFrame:
    return queries.regime_grid(store, name, source=source)


@lru_cache(maxsize=8)
def _runs(store: Store, version: int, name: str, source: str) -> pd.DataFrame:
    return queries.runs(store, name, source=source)


@lru_cache(maxsize=64)
def _cell_runs(store: Store, version: int, name: str, source: str, x: float, y: float) -> pd.DataFrame:
    return queries.runs(store, name, x=x, y=y, source=source)


@lru_cache(maxsize=32)
def _curves(store: Store, version: int, cell_ids: tuple[str, ...]) -> pd.DataFrame:
    return queries.curves(store, cell_ids)


@lru_cache(maxsize=16)
def _runs_at(
    store: Store, version: int, names: tuple[str, ...], source: str, budget: float | None, unit: str
) -> pd.DataFrame:
    return queries.runs_at(store, names, budget=budget, unit=unit, source=source)


@lru_cache(maxsize=16)
def _cost_to_reach(store: Store, version: int, names: tuple[str, ...], source: str, train_loss: float) -> pd.DataFrame:
    return queries.cost_to_reach(store, names, train_loss, source=source)


@lru_cache(maxsize=8)
def _readings(store: Store, version: int, name: str) -> pd.DataFrame:
    return queries.published_values(store, name)


@lru_cache(maxsize=64)
def _diagnostics(store: Store, version: int, cell_id: str) -> pd.DataFrame:
    return queries.artifacts(store, cell_id)


@lru_cache(maxsize=16)
def _artifact(
    store: Store, version: int, cell_id: str, kind: str, settings: tuple[tuple[str, Setting], ...]
) -> Artifact | None:
    return queries.artifact(store, cell_id, kind, settings=dict(settings))


@lru_cache(maxsize=8)
def _known_cells(store: Store, version: int, cell_ids: tuple[str, ...]) -> frozenset[str]:
    return frozenset(queries.known_cells(store, cell_ids))
