"""What pages and the command line ask of the results; every function takes the store it asks.

Runs of an older protocol version, of another source or of another set-up than their map's are never in one answer.
A set-up is every setting but the two axes and the seed; where a map has more than one, the one with most runs is meant
and ``maps`` counts the others as ``n_apart``, and those of another protocol version as ``n_stale``. Withdrawn runs are
in no answer but ``withdrawals`` and those that are asked for what is ``on_record``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sciml_backend.run import ENDED, PROTOCOL_VERSION, Artifact, BadRequest, MapName, Setting
from sciml_backend.store.published import NO_PROTOCOL_VERSION
from sciml_backend.store.spool import Weights, locate, read_artifact, read_weights

if TYPE_CHECKING:
    from sciml_backend.store.connection import Store

__all__ = [
    "artifact",
    "artifacts",
    "cost_to_reach",
    "curves",
    "known_cells",
    "maps",
    "nothing_stored",
    "published_values",
    "quarantined",
    "regime_grid",
    "runs",
    "runs_at",
    "weights",
    "withdrawals",
]

BUDGETS = ("evaluations", "seconds")
"""What a run's budget may be counted in."""

_ENDED = f"status IN {ENDED}"


def maps(store: Store) -> pd.DataFrame:
    """One row per map and source: name and its parts, x_name, n_cells, n_runs, n_diverged, n_failed, n_apart, n_stale.

    A map of which only runs of another protocol version are stored has ``n_stale`` of them, and nothing else.
    """
    return store.query(
        f"""
        WITH counted AS (
            SELECT map_id, count(*) AS n_cells, sum(n)::BIGINT AS n_runs,
                   sum(diverged)::BIGINT AS n_diverged, sum(failed)::BIGINT AS n_failed
            FROM (SELECT map_id, count(*) AS n, count(*) FILTER (status = 'diverged') AS diverged,
                         count(*) FILTER (status = 'failed') AS failed FROM run GROUP BY map_id, x, y)
            GROUP BY map_id)
        SELECT name, family, problem, strategy, variant, source, x_name, y_name,
               if(present, n_cells, 0) AS n_cells, if(present, n_runs, 0) AS n_runs,
               if(present, n_diverged, 0) AS n_diverged, if(present, n_failed, 0) AS n_failed,
               (coalesce(sum(n_runs) FILTER (present) OVER of_map, 0) - if(present, n_runs, 0))::BIGINT AS n_apart,
               coalesce(sum(n_runs) FILTER (NOT present) OVER of_map, 0)::BIGINT AS n_stale
        FROM (FROM regime_map JOIN counted USING (map_id) SELECT *, {_present()} AS present)
        WINDOW of_map AS (PARTITION BY name, source)
        QUALIFY row_number() OVER (PARTITION BY name, source ORDER BY present DESC, n_runs DESC, map_id) = 1
        ORDER BY name, source
        """
    )


def nothing_stored(store: Store, name: MapName | str, source: str) -> str:
    """The sentence for a map without runs; it says how many of another protocol version there are."""
    found = f"No {source} run of {name} is stored"
    stale = store.rows(
        "SELECT count(*) FROM run JOIN regime_map USING (map_id) WHERE name = ? AND source = ?", [str(name), source]
    )[0][0]
    if stale:
        found += f" but {stale} of another protocol version, which are left out"
    return f"{found}; `python -m sciml_backend sweep {name}` trains some."


def regime_grid(store: Store, name: MapName | str, *, source: str = "computed") -> pd.DataFrame:
    """One row per cell (x, y): seed means of train_loss, test_error, heldout_error, and counts of seeds.

    Means are over the finite runs that ended by themselves; ``n_seeds`` counts these, ``n_diverged`` and ``n_failed``
    the others. It is NULL for a published reading, which does not say how many seeds it is the mean of.
    """
    return store.query(
        f"""
        SELECT x, y, avg(train_loss) FILTER ({_ENDED}) AS train_loss, avg(test_error) FILTER ({_ENDED}) AS test_error,
               avg(heldout_error) FILTER ({_ENDED}) AS heldout_error,
               CASE WHEN count(seed) > 0 THEN count(train_loss) FILTER ({_ENDED}) END AS n_seeds,
               count(*) FILTER (status = 'diverged') AS n_diverged, count(*) FILTER (status = 'failed') AS n_failed
        FROM run WHERE map_id = ? GROUP BY x, y ORDER BY x, y
        """,
        [_map_id(store, name, source)],
    )


def runs(
    store: Store, name: MapName | str, *, x: float | None = None, y: float | None = None, source: str = "computed"
) -> pd.DataFrame:
    """One row per run (seed) of a map, or of its cells with this x and this y, all stored columns but the weights."""
    chosen = {"x": x, "y": y}
    narrowed = "".join(f" AND run.{axis} = ${axis}" for axis, value in chosen.items() if value is not None)
    parameters = {axis: value for axis, value in chosen.items() if value is not None}
    return store.query(
        f"""
        SELECT m.name AS map, family, problem, strategy, variant, source, protocol_version, x_name, y_name,
               run.* EXCLUDE (map_id) REPLACE (run.cell_id::VARCHAR AS cell_id)
        FROM run JOIN regime_map AS m USING (map_id)
        WHERE run.map_id = $map_id{narrowed}
        ORDER BY run.x, run.y, seed
        """,
        {"map_id": _map_id(store, name, source)} | parameters,
    )


def curves(store: Store, cell_ids: Iterable[str]) -> pd.DataFrame:
    """Histories in long form: cell_id, iteration, evaluations, seconds, train_loss, test_error."""
    return store.query(
        """
        SELECT cell_id::VARCHAR AS cell_id, unnest(iteration) AS iteration, unnest(evaluations) AS evaluations,
               unnest("seconds") AS "seconds", unnest(train_loss) AS train_loss, unnest(test_error) AS test_error
        FROM curve WHERE cell_id IN (SELECT unnest(?)::UUID)
        """,
        [list(cell_ids)],
    )


def runs_at(
    store: Store,
    names: Iterable[MapName | str],
    *,
    budget: float | None = None,
    unit: str = "evaluations",
    source: str = "computed",
) -> pd.DataFrame:
    """One row per run of several maps, read at a budget (loss-and-gradient evaluations, or seconds, of each run).

    Columns: map, x, y, seed, status, train_loss, test_error, evaluations, seconds. A run that ended within the budget
    has its last values, one that went on has those of its last logged point within it, at least its first, and the
    status ``running``. The values of a run that diverged or failed within the budget are NULL, as are those of one
    that went on and has no history. Raises BadRequest for an unknown unit or a negative budget.
    """
    _require_budget(budget, unit)
    return store.query(
        f"""
        WITH chosen AS (
            SELECT name AS map, run.*, coalesce(run."{unit}" > $budget, false) AS went_on,
                   greatest(len(list_filter(curve."{unit}", lambda spent: spent <= $budget)), 1) AS last, curve
            FROM run JOIN (SELECT unnest($maps) AS map_id, unnest($names) AS name) USING (map_id)
            LEFT JOIN curve USING (cell_id))
        SELECT map, x, y, seed, if(went_on, 'running', status) AS status,
               {_read_at("train_loss")}, {_read_at("test_error")},
               if(went_on, curve.evaluations[last], evaluations) AS evaluations,
               if(went_on, curve."seconds"[last]::DOUBLE, "seconds") AS "seconds"
        FROM chosen ORDER BY map, x, y, seed
        """,
        _chosen(store, names, source) | {"budget": budget},
    )


def cost_to_reach(
    store: Store, names: Iterable[MapName | str], train_loss: float, *, source: str = "computed"
) -> pd.DataFrame:
    """One row per run of several maps: map, x, y, seed, and evaluations and seconds until its loss was this low.

    Both are those of the first logged point with a training loss at or below ``train_loss``, NULL where there is none.
    """
    return store.query(
        """
        WITH chosen AS (
            SELECT name AS map, x, y, seed, curve,
                   list_position(list_transform(curve.train_loss, lambda loss: loss <= $target), true) AS first
            FROM run JOIN (SELECT unnest($maps) AS map_id, unnest($names) AS name) USING (map_id)
            LEFT JOIN curve USING (cell_id))
        SELECT map, x, y, seed, curve.evaluations[first] AS evaluations, curve."seconds"[first]::DOUBLE AS "seconds"
        FROM chosen ORDER BY map, x, y, seed
        """,
        _chosen(store, names, source) | {"target": train_loss},
    )


def known_cells(store: Store, cell_ids: Iterable[str]) -> set[str]:
    """Those of the cells that have a run which did not fail; diverged ones are included."""
    found = store.rows(
        "SELECT cell_id::VARCHAR FROM run WHERE status <> 'failed' AND cell_id IN (SELECT unnest(?)::UUID)",
        [list(cell_ids)],
    )
    return {cell for (cell,) in found}


def artifacts(store: Store, cell_id: str, *, on_record: bool = False) -> pd.DataFrame:
    """The diagnostics of a cell's run: kind, settings and numbers (JSON), request_key, seconds, finished_at.

    With ``on_record`` those of its withdrawn runs instead, here and in ``artifact`` and ``weights``.
    """
    return store.query(
        f"""
        SELECT kind, settings, numbers, request_key, "seconds", finished_at FROM {_table("artifact", on_record)}
        WHERE cell_id = ?::UUID AND protocol_version = ? ORDER BY kind, finished_at
        """,
        [cell_id, PROTOCOL_VERSION],
    )


def artifact(
    store: Store, cell_id: str, kind: str, *, settings: Mapping[str, Setting] | None = None, on_record: bool = False
) -> Artifact | None:
    """A cell's diagnostic with its arrays, or None; without ``settings`` the latest of its kind."""
    key = None if settings is None else Artifact(cell_id=cell_id, kind=kind, settings=settings).request_key
    found = store.rows(
        f"""
        SELECT file, request_key FROM {_table("artifact", on_record)} AS a JOIN ingest_log USING (batch_id)
        WHERE cell_id = $cell::UUID AND a.kind = $kind AND protocol_version = $version
        AND ($key IS NULL OR request_key = $key) ORDER BY finished_at DESC LIMIT 1
        """,
        {"cell": cell_id, "kind": kind, "version": PROTOCOL_VERSION, "key": key},
    )
    if not found:
        return None
    file, request_key = found[0]
    return read_artifact(cell_id, *_places(file), request_key=request_key, on_record=on_record)


def weights(store: Store, cell_id: str, *, on_record: bool = False) -> Weights:
    """The first and last weights of a run; raises BadRequest when none are stored."""
    table = _table("run", on_record)
    found = store.rows(
        f"SELECT file FROM {table} JOIN ingest_log USING (batch_id) WHERE cell_id = ?::UUID ORDER BY finished_at DESC",
        [cell_id],
    )
    if not found:
        raise BadRequest(f"No run of cell {cell_id} is {'withdrawn.' if on_record else 'stored; train it first.'}")
    return read_weights(cell_id, *_places(found[0][0]), on_record=on_record)


def withdrawals(store: Store) -> pd.DataFrame:
    """What was withdrawn, newest first: cell_id, withdrawn_at (UTC), withdrawn_by, reason, and the run it was.

    The run's columns (map, x_name, x, y, seed, status, train_loss, test_error, finished_at) are empty where no run of
    before the withdrawal is stored.
    """
    return store.query(
        """
        SELECT w.cell_id::VARCHAR AS cell_id, withdrawn_at, withdrawn_by, reason,
               map, x_name, x, y, seed, status, train_loss, test_error, finished_at
        FROM withdrawal AS w LEFT JOIN withdrawn_run AS r ON r.cell_id = w.cell_id AND r.finished_at <= w.withdrawn_at
        QUALIFY row_number() OVER (
            PARTITION BY w.cell_id, withdrawn_at ORDER BY finished_at DESC, status = 'failed', w.batch_id) = 1
        ORDER BY withdrawn_at DESC, w.cell_id
        """
    )


def published_values(store: Store, name: MapName | str) -> pd.DataFrame:
    """Published readings of a map: x, y, metric, value, uncertainty, censored, quality, note."""
    return store.query("SELECT * EXCLUDE (name) FROM published_value WHERE name = ?", [str(name)])


def quarantined(store: Store) -> pd.DataFrame:
    """Files that were not stored, and why: file, reason, ts (UTC), newest first."""
    return store.query("SELECT file, reason, ts FROM quarantine ORDER BY ts DESC")


def _require_budget(budget: float | None, unit: str) -> None:
    if unit not in BUDGETS:
        raise BadRequest(f"A budget is counted in {' or '.join(BUDGETS)}; got {unit!r}.")
    if budget is not None and not budget >= 0:
        raise BadRequest(f"A budget is at least 0 {unit}; got {budget:g}.")


def _chosen(store: Store, names: Iterable[MapName | str], source: str) -> dict[str, list[Any]]:
    """The set-ups of the named maps of which something is stored, as parameters of a query."""
    found = {str(name): _map_id(store, name, source) for name in names}
    stored = {name: map_id for name, map_id in found.items() if map_id is not None}
    return {"maps": list(stored.values()), "names": list(stored)}


def _read_at(metric: str) -> str:
    """SQL for a metric at a budget, where ``chosen`` says whether a run went on and which point was its last."""
    return f"CASE WHEN went_on THEN curve.{metric}[last] WHEN {_ENDED} THEN {metric} END AS {metric}"


def _table(name: str, on_record: bool) -> str:
    return f"withdrawn_{name}" if on_record else name


def _places(file: str) -> tuple[Path, ...]:
    """Where to look for what the index found in this file: there, or everywhere when it was compacted away since."""
    try:
        return (locate(file),)
    except BadRequest:
        return ()


def _present() -> str:
    """SQL for: of the protocol version that this program computes, or published."""
    return f"protocol_version = if(source = 'published', {NO_PROTOCOL_VERSION}, {PROTOCOL_VERSION})"


def _map_id(store: Store, name: MapName | str, source: str) -> int | None:
    """The set-up of a map that is meant, or None when nothing is stored of it."""
    known = store.rows(
        f"""
        SELECT map_id FROM regime_map WHERE name = $name AND source = $source AND {_present()} ORDER BY map_id
        """,
        {"name": str(name), "source": source},
    )
    if len(known) <= 1:
        return known[0][0] if known else None
    largest = "SELECT map_id FROM run WHERE map_id IN (SELECT unnest(?)) GROUP BY map_id ORDER BY count(*) DESC, map_id"
    found = store.rows(largest, [[map_id for (map_id,) in known]])
    return found[0][0] if found else None  # all its runs may be withdrawn
