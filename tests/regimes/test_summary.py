"""The JSON of the command line."""

import json

import pandas as pd

from sciml_backend.regimes import Threshold, Thresholds, summary


def test_summary_is_json_with_the_agreed_keys():
    grid = pd.DataFrame(
        {
            "x": [1.0, 2.0, 1.0, 2.0],
            "y": [10.0, 10.0, 20.0, 20.0],
            "train_loss": [0.0, 2.0, 0.0, 2.0],
            "test_error": [2.0, 2.0, 0.0, None],
            "n_seeds": [3, 3, 2, 0],
        }
    )
    one = Threshold(rule="absolute", value=1.0)
    out = json.loads(json.dumps(summary(grid, Thresholds(train=one, test=one)), allow_nan=False))
    assert out["thresholds"] == {"train": 1.0, "test": 1.0}
    assert out["cells"][0] == {"x": 1.0, "y": 10.0, "train": 0.0, "test": 2.0, "seeds": 3, "label": "III"}
    assert [cell["label"] for cell in out["cells"]] == ["III", "II", "I", None]
    assert out["cells"][3]["test"] is None
    middle = next(b for b in out["boundaries"] if b["metric"] == "train" and b["level"] == 0)
    assert sorted(middle["lines"][0]) == [[0.5, 0.0], [0.5, 1.0]]
    assert len(out["boundaries"]) == 10


def test_summary_of_an_empty_map():
    empty = pd.DataFrame(columns=["x", "y", "train_loss", "test_error"], dtype=float)
    out = json.loads(json.dumps(summary(empty), allow_nan=False))
    assert out["thresholds"] == {"train": None, "test": None}
    assert out["cells"] == []
