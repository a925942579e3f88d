"""Quantiles that are estimated from buckets."""

from __future__ import annotations

import pytest

from pexecutor.observe.histogram import Histogram


@pytest.mark.parametrize(
    ("durations", "part", "expected"),
    [
        ([1.5] * 10, 0.5, 1.5),
        ([1.5] * 10, 0.95, 1.95),
        ([0.5] * 9 + [3.0], 0.5, 5 / 9),
        ([0.5] * 9 + [3.0], 0.95, 3.0),
        ([100.0], 0.5, 4.0),
        ([], 0.5, 4.0),
        ([-1.0], 0.95, 0.95),
    ],
)
def test_a_quantile_lies_in_its_bucket(durations: list[float], part: float, expected: float) -> None:
    histogram = Histogram([1, 2, 4])
    histogram.observe_all(durations)

    assert histogram.quantile(part) == pytest.approx(expected)


def test_a_sum_has_the_observations_of_both() -> None:
    one, other, both = (Histogram([1, 2]) for _ in range(3))
    one.observe_all([0.5, 3.0])
    other.observe_all([1.5])
    both.observe_all([0.5, 3.0, 1.5])

    total = one + other

    assert (total.counts, total.sum, total.bounds) == (both.counts, both.sum, both.bounds)
