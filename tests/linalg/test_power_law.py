"""Power laws: a known exponent and a known lower end come back."""

import numpy as np
import pytest

from sciml_backend.linalg.power_law import power_law


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_the_exponent_of_a_pure_law_comes_back(alpha):
    drawn = 3 * (1 - np.random.default_rng(0).random(4000)) ** (-1 / (alpha - 1))
    fit = power_law(drawn)
    assert abs(fit.alpha - alpha) < 3 * fit.error and fit.lowest < 6 and fit.distance < 0.03


def test_the_lower_end_is_where_the_law_begins():
    """Half of the values are no part of the law: they lie evenly below 5 (as in Fig. 3.3 of the paper)."""
    random = np.random.default_rng(1)
    drawn = np.concatenate([random.random(2000) * 5, 5 * (1 - random.random(2000)) ** (-1 / 1.5)])
    fit = power_law(drawn)
    assert fit.lowest == pytest.approx(5, rel=0.15) and abs(fit.alpha - 2.5) < 3 * fit.error


def test_the_likelihood_is_largest_at_the_exponent():
    tail = np.sort(np.random.default_rng(2).pareto(1.5, 300) + 1)
    fit = power_law(tail)
    own = tail[tail >= fit.lowest]

    def likelihood(alpha):
        return len(own) * np.log((alpha - 1) / fit.lowest) - alpha * np.log(own / fit.lowest).sum()

    assert fit.tail == len(own)
    assert likelihood(fit.alpha) > max(likelihood(fit.alpha - 1e-3), likelihood(fit.alpha + 1e-3))


def test_too_few_or_equal_values_make_no_law():
    assert (
        power_law(np.arange(1.0, 6.0)) is None and power_law(np.full(50, 2.0)) is None and power_law(np.ones(0)) is None
    )
