"""Tests of early stopping: the epoch that is selected, and when training ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.errors import UserError
from trainables.specs import Recipe
from trainables.training.early_stopping import StoppingRule, best_epoch, is_over, last_gain, stopping_rules


def val(*f1: float) -> list[dict[str, float]]:
    return [{"f1_macro": score, "loss": 1.0} for score in f1]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3]), min_size=1, max_size=12), st.integers(1, 4))
def test_patience_counts_the_epochs_since_the_last_strictly_better_one(scores: list[float], patience: int) -> None:
    best, idle = -1.0, 0
    for score in scores:
        best, idle = (score, 0) if score > best else (best, idle + 1)
    assert scores[last_gain(val(*scores))] == best == max(scores)
    assert len(scores) - 1 - last_gain(val(*scores)) == idle
    assert is_over(Recipe(epochs=99, patience=patience), val(*scores)) == (idle >= patience)


@pytest.mark.parametrize(
    ("epochs", "earliest", "by_loss"),
    [
        ([(0.5, 0.9), (0.5, 0.7), (0.5, 0.8)], 0, 1),
        ([(0.5, 0.7), (0.5, 0.7), (0.4, 0.1)], 0, 1),
        ([(0.5, 0.1), (0.6, 0.9)], 1, 1),
        ([(1.0, 0.3), (1.0, 0.2), (1.0, 0.1)], 0, 2),
        ([(0.0, 5.0)], 0, 0),
    ],
)
def test_of_epochs_that_tie_the_recipe_says_which_is_kept(
    epochs: list[tuple[float, float]], earliest: int, by_loss: int
) -> None:
    val = [{"f1_macro": score, "loss": loss} for score, loss in epochs]
    assert best_epoch(Recipe(epoch_ties="earliest"), val) == earliest
    assert best_epoch(Recipe(epoch_ties="val_loss"), val) == by_loss


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.1, 0.2])), min_size=1, max_size=9))
def test_an_epoch_is_kept_when_it_ends_or_never(epochs: list[tuple[float, float]]) -> None:
    """The weights of the best epoch so far are all that is kept: the best of all must have been best when it ended."""
    val = [{"f1_macro": score, "loss": loss} for score, loss in epochs]
    for ties in ("earliest", "val_loss"):
        recipe = Recipe(epoch_ties=ties)
        kept = [number for number in range(len(val)) if best_epoch(recipe, val[: number + 1]) == number]
        assert kept[-1] == best_epoch(recipe, val)


@pytest.mark.parametrize("patience", [None, 1, 99])
def test_training_ends_with_its_last_epoch_whatever_the_rule(patience: int | None) -> None:
    recipe = Recipe(epochs=3, patience=patience)
    rising = [0.1, 0.2, 0.3]
    assert [is_over(recipe, val(*rising[:done])) for done in range(4)] == [False, False, False, True]
    assert not is_over(Recipe(epochs=4), val(0.3, 0.2, 0.1)), "without a patience all epochs are done"


@pytest.fixture
def rule() -> Iterator[None]:
    @stopping_rules.register("loss_below")
    class LossBelow(StoppingRule):
        limit: float

        def stops(self, recipe: Recipe, val: Sequence[Mapping[str, float]]) -> bool:
            return val[-1]["loss"] < self.limit

    yield
    del stopping_rules._own["loss_below"]


@pytest.mark.usefixtures("rule")
def test_another_rule_is_one_class() -> None:
    recipe = Recipe(epochs=9, stopping="loss_below", stopping_options={"limit": 0.5})
    assert not is_over(recipe, [{"f1_macro": 0.1, "loss": 0.6}])
    assert is_over(recipe, [{"f1_macro": 0.1, "loss": 0.4}])


def test_a_rule_that_there_is_not_ends_a_training_instead_of_another() -> None:
    recipe = Recipe(epochs=9).model_copy(update={"stopping": "patient"})  # past the check of the specification
    with pytest.raises(UserError, match="no stopping rule patient"):
        is_over(recipe, val(0.1))
