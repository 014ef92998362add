"""The table of the ablation: what is compared with what, and that a missing seed is told."""

import pytest

from equipoise.benchmarks.ablation import shares, table


def result(*errors: float) -> dict[str, object]:
    return {"error": list(errors)}


def test_shares_are_of_the_same_seed_and_a_geometric_mean_over_levels():
    recipe = {"0": result(1.0, 4.0), "1": result(0.5, 0.5)}
    assert shares({"1": result(1.0, 4.0), "0": result(4.0, 4.0), "2": result(9.0, 9.0)}, recipe) == [
        pytest.approx(4.0),
        pytest.approx(2.0),
    ]
    assert shares({"0": result(1.0, 1.0)}, {}) == []


def test_the_table_compares_with_the_recipe_of_the_same_device_and_steps_and_tells_missing_seeds(monkeypatch):
    errors = [0.02, 0.05, 0.08, 0.1]
    monkeypatch.setattr("equipoise.benchmarks.ablation.posterior_mean", lambda: errors)  # which takes seconds
    twice = [2 * error for error in errors]
    lines = table(
        {
            "the recipe, float: @ 800": {str(seed): result(*errors) | {"recognised": 0.5} for seed in range(3)},
            "changed, float: @ 800": {str(seed): result(*twice) for seed in range(3)},
            "changed, golden: @ 800": {"0": result(*twice)},
        }
    ).splitlines()
    assert "| 1.000 +- 0.000 | 50.0 +- 0.0 % |" in lines[-3]
    assert "| 2.000 +- 0.000 |" in lines[-2]
    assert lines[-2].startswith("| changed, float: | 800 | 0.0400 +- 0.0000 |")
    assert lines[-1] == "| changed, golden: (1 of 3 seeds) | 800 | 0.0400 | 0.1000 | 0.1600 | 0.2000 |  |  |"
