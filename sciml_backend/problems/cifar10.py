"""CIFAR-10: photographs of 32 x 32 pixels in ten classes; Krizhevsky (2009), Learning multiple layers of features.

The images are read from their own archive, ``cifar-10-python.tar.gz``, where somebody has put it.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sciml_backend import paths
from sciml_backend.classification import Classification, Labelled
from sciml_backend.run import BadRequest

ARCHIVE = "cifar-10-python.tar.gz"
FILES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
KNOWN = {
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}
"""All that the archive's pickles need beside dictionaries, lists, numbers and text."""


class Cifar10(Classification):
    """What a small photograph shows; 50,000 images to train on and 10,000 to test with."""

    label = "CIFAR-10"
    equation = "image (3 × 32 × 32) ↦ class;  a share of the labels is random"
    note = f"The images are read from {ARCHIVE}, which is not shipped."
    channels = 3
    side = 32
    mirrored = True
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    data_axis = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
    data_limit = 50_000

    def known(self, split: str) -> Labelled:
        return _read(paths.datasets() / ARCHIVE, split)


@lru_cache(maxsize=2)
def _read(archive: Path, split: str) -> Labelled:
    images, classes = [], []
    try:
        with tarfile.open(archive) as tar:
            for name in FILES[split]:
                file = tar.extractfile(f"cifar-10-batches-py/{name}")
                assert file is not None
                batch = _Plain(io.BytesIO(file.read()), encoding="bytes").load()
                images.append(np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32))
                classes.append(np.asarray(batch[b"labels"], dtype=np.int64))
            assert tar.fileobj is not None
            while tar.fileobj.read(2**20):  # the checksum stands at the end
                pass
    except FileNotFoundError:
        raise BadRequest(
            f"CIFAR-10 is not here: put its archive for Python, {ARCHIVE}, into {archive.parent}, "
            "or name its folder in ATLAS_DATASETS."
        ) from None
    except Exception as error:  # a damaged stream or pickle may raise anything
        raise BadRequest(
            f"{archive} is not CIFAR-10's archive for Python ({type(error).__name__}: {error}); download it anew."
        ) from None
    return Labelled(np.concatenate(images).astype(np.float32), np.concatenate(classes))


class _Plain(pickle.Unpickler):
    """Reads arrays, dictionaries and text; what names anything else is refused, as a pickle may name any function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)
