"""Tables and numbers as people read them."""

import pandas as pd

from pages import words


def test_a_mean_is_of_every_run_that_ended_or_of_none():
    runs = pd.DataFrame(
        {
            "seed": [0, 1, 2],
            "status": ["stalled", "converged", "diverged"],
            "train_loss": [1e-3, 3e-3, None],
            "lambda_max": [10.0, None, None],
        }
    )
    table = words.seed_table(runs, ["train_loss", "lambda_max"])
    assert list(table.loc["mean"]) == ["of 2 seeds", words.number(2e-3), "–"]
    assert list(table.loc["1"]) == ["converged", words.number(3e-3), "–"]
