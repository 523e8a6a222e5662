"""Images with labels: where they come from, how labels are replaced, and what an archive may hold."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml_backend.problems import cifar10
from sciml_backend.problems.cifar10 import Cifar10
from sciml_backend.problems.digits import Digits
from sciml_backend.run import BadRequest


def test_the_digits_are_those_of_scikit_learn() -> None:
    train, test = Digits().known("train"), Digits().known("test")
    assert len(train) == 1400 and len(test) == 397 and train.images.shape[1:] == (1, 8, 8)
    images = np.concatenate([train.images, test.images])
    assert images.min() == 0 and images.max() == 16 and images.sum() == 561_718
    counts = np.bincount(np.concatenate([train.classes, test.classes]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(np.unique(images, axis=0)) == 1797  # no image is in both


def test_sets_are_nested_along_both_axes_and_scaled_by_the_pool() -> None:
    problem = Digits()
    some, true = problem.labelled(200, {"replaced": 0.4}), problem.labelled(1400, {"replaced": 0.0})
    more, most = problem.labelled(1400, {"replaced": 0.4}), problem.labelled(1400, {"replaced": 1.0})
    assert np.array_equal(some.images, more.images[:200]) and np.array_equal(some.classes, more.classes[:200])
    changed = more.classes != true.classes
    assert np.array_equal(more.classes[changed], most.classes[changed])
    # Of the replaced ones a tenth has its own class again.
    assert changed.mean() == pytest.approx(0.36, abs=0.03) and (most.classes != true.classes).mean() > 0.87
    assert true.images.mean() == pytest.approx(0, abs=1e-5) and true.images.std() == pytest.approx(1, abs=1e-5)
    other = problem.labelled(200, {"replaced": 0.4}, data_seed=1)
    assert not np.array_equal(other.images, some.images)


@pytest.mark.parametrize(
    ("n", "replaced", "said"), [(1401, 0.0, "between 1 and 1,400"), (10, 1.5, "must lie between 0 and 1")]
)
def test_what_cannot_be_is_refused(n: int, replaced: float, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        Digits().labelled(n, {"replaced": replaced})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ATLAS_DATASETS", str(tmp_path))
    yield tmp_path
    cifar10._read.cache_clear()


def batch(start: int, n: int) -> dict[bytes, Any]:
    data = (np.arange(n * 3072) + start).astype(np.uint8).reshape(n, 3072)
    return {b"batch_label": b"a batch", b"labels": [(start + i) % 10 for i in range(n)], b"data": data}


def archive(folder: Path, pickled: dict[str, bytes]) -> None:
    with tarfile.open(folder / cifar10.ARCHIVE, "w:gz") as tar:
        for name, content in pickled.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_cifar10_is_read_from_an_archive_of_its_format(folder: Path) -> None:
    batches = {name: batch(7 * i, 4) for i, name in enumerate(cifar10.FILES["train"] + cifar10.FILES["test"])}
    # As numpy was arranged when the archive was made.
    archive(folder, {k: pickle.dumps(v, protocol=2).replace(b"numpy._core", b"numpy.core") for k, v in batches.items()})
    problem = Cifar10()
    train, test = problem.known("train"), problem.known("test")
    assert train.images.shape == (20, 3, 32, 32) and len(test) == 4
    assert train.images[5, 1, 2, 3] == float((7 + 3072 + 1024 + 2 * 32 + 3) % 256)
    assert train.classes[4:8].tolist() == [7, 8, 9, 0] and test.classes.tolist() == [5, 6, 7, 8]
    some = problem.labelled(20, {"replaced": 0.0})
    assert np.abs(some.images.mean(axis=(0, 2, 3))).max() < 1e-3 and some.images.std() == pytest.approx(1, abs=1e-3)


def test_a_missing_archive_says_where_to_put_it(folder: Path) -> None:
    with pytest.raises(BadRequest, match=f"put its archive for Python, {cifar10.ARCHIVE}, into {folder}") as caught:
        Cifar10().known("test")
    assert "ATLAS_DATASETS" in str(caught.value)


class Evil:
    """Calls a function when a pickle of it is read."""

    def __reduce__(self) -> Any:
        return print, ("read",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({b"data": Evil(), b"labels": []}), "asks for builtins.print"),
        (pickle.dumps({b"labels": [1]}), "KeyError"),
        (b"no pickle", "UnpicklingError"),
    ],
)
def test_an_archive_that_holds_something_else_is_refused(
    folder: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive(folder, {"test_batch": content})
    with pytest.raises(BadRequest, match=said):
        Cifar10().known("test")
    assert not capsys.readouterr().out


def test_an_archive_with_a_damaged_byte_is_refused(folder: Path) -> None:
    shades = np.random.default_rng(0).integers(16, size=(20, 3072), dtype=np.uint8)
    archive(folder, {"test_batch": pickle.dumps({b"data": shades, b"labels": [0] * 20}, protocol=2)})
    path = folder / cifar10.ARCHIVE
    sound = path.read_bytes()
    for at in range(100, len(sound), len(sound) // 40):
        path.write_bytes(sound[:at] + bytes(30) + sound[at + 30 :])
        cifar10._read.cache_clear()
        with pytest.raises(BadRequest, match="download it anew"):
            Cifar10().known("test")


def test_a_pickle_that_breaks_while_it_is_read_is_refused(folder: Path) -> None:
    content = pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}, protocol=2)
    archive(folder, {"test_batch": content.replace(b"latin1", b"la*in1")})
    with pytest.raises(BadRequest, match="LookupError"):
        Cifar10().known("test")
