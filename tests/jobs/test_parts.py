"""Cutting cells into parts."""

from jobs.job import new_job_id
from jobs.parts import cut


def test_parts_hold_every_cell_once_and_train_alike(cells):
    asked = [c.but(dtype=d, data=n) for c in cells(10) for d in ("float32", "float64") for n in (100, 5000)]
    parts = cut(asked)
    assert sorted(c.cell_id for part in parts for c in part) == sorted(c.cell_id for c in asked)
    assert all(len({(c.map, c.dtype, c.data) for c in part}) == 1 for part in parts)
    assert [len(part) for part in parts] == [3, 3, 3, 1] * 2 + [8, 2] * 2
    assert cut(reversed(asked)) == parts


def test_a_part_is_what_the_engine_trains_at_once(cells):
    from sciml_backend.engine.batches import batches

    for data in (100, 2500, 5000, 100_000):
        parts = cut(c.but(data=data) for c in cells(20))
        assert parts == list(batches([c for part in parts for c in part]))


def test_job_ids_sort_by_time():
    ids = [new_job_id() for _ in range(3)]
    assert all(len(i) == 26 for i in ids) and len(set(ids)) == 3
