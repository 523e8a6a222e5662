"""Cutting cells into parts."""

from jobs.job import new_job_id
from jobs.parts import CELLS_PER_PART, cut


def test_parts_hold_every_cell_once_and_one_map_and_precision_each(cells):
    asked = [c.but(dtype=d, data=n) for c in cells(15) for d in ("float32", "float64") for n in (100, 500)]
    parts = cut(asked)
    assert sorted(c.cell_id for part in parts for c in part) == sorted(c.cell_id for c in asked)
    assert all(len(part) <= CELLS_PER_PART and len({(c.map, c.dtype) for c in part}) == 1 for part in parts)
    assert parts == cut(reversed(asked))


def test_job_ids_sort_by_time():
    ids = [new_job_id() for _ in range(3)]
    assert all(len(i) == 26 for i in ids) and len(set(ids)) == 3
