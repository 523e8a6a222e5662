"""Cross entropy of a residual network: by hand, in batches and in evaluation, and what a run of it leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sciml_backend import memory, sweep
from sciml_backend.problems.digits import Digits
from sciml_backend.run import BadRequest, MapName, RunSpec

N = 20


def planned(**more: Any) -> list[RunSpec]:
    given: dict[str, Any] = {"model": {"width": 1}, "data": [N], "coefficients": {"replaced": [0.0, 0.6]}}
    return sweep.plan(MapName.parse("resnet/digits/sgd"), **(given | more))


@pytest.fixture(scope="module")
def made() -> tuple[Any, Tensor]:
    specs = planned()
    objective = sweep.objective_of(specs, dtype="float64")
    theta = sweep.initial_weights(specs).double()
    return objective, theta + 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(0)).double()


def images_and_labels(spec: RunSpec) -> tuple[Tensor, Tensor]:
    found = Digits().labelled(spec.data, spec.coefficients)
    return torch.as_tensor(found.images).double(), torch.as_tensor(found.classes)


def test_the_loss_is_normalised_by_the_training_set_and_a_batch_by_itself(made: tuple[Any, Tensor]) -> None:
    objective, theta = made
    model = objective.model
    for row, spec in enumerate(planned()):
        images, labels = images_and_labels(spec)
        statistics = model.statistics(theta[row], images)
        whole = cross_entropy(model.scores(theta[row], images, statistics), labels)
        assert float(objective.value(theta)[row]) == pytest.approx(float(whole), rel=1e-10)
        subset = cross_entropy(model.scores(theta[row], images[:5], statistics), labels[:5])
        assert float(objective.subset(5).value(theta)[row]) == pytest.approx(float(subset), rel=1e-10)
        chosen = np.random.default_rng(1).permutation(N)[6:12]  # 6 go into 20 three times: the second of epoch 1
        batch = cross_entropy(model.scores(theta[row], images[chosen]), labels[chosen])
        assert float(objective.minibatch(4, 6).value_and_gradient(theta)[0][row]) == pytest.approx(float(batch))
    assert objective.minibatch(4, 6).share == 6 / N
    assert torch.allclose(objective.subset(99).value(theta), objective.training_error(theta))


def test_an_epoch_shows_every_image_once_and_the_next_one_in_another_order(made: tuple[Any, Tensor]) -> None:
    epochs = [np.concatenate([made[0].minibatch(4 * e + i, 5)._chosen for i in range(4)]) for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(N)) and not np.array_equal(*epochs)


@pytest.mark.parametrize("batch", [0, 6])
def test_gradient_and_curvature_are_those_of_the_loss(made: tuple[Any, Tensor], batch: int) -> None:
    """On a batch its statistics take part; in evaluation they are constants, held at theta."""
    objective, theta = made
    seen = objective.minibatch(3, batch) if batch else objective
    values, gradients = seen.value_and_gradient(theta)
    leaf = theta.clone().requires_grad_()
    plain = seen.differentiable_value(leaf)
    (wanted,) = torch.autograd.grad(plain.sum(), leaf, create_graph=True)
    assert torch.allclose(values, plain) and torch.allclose(gradients, wanted, rtol=1e-9, atol=1e-12)
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(1), dtype=theta.dtype)
    (product,) = torch.autograd.grad((wanted * v).sum(), leaf)
    assert torch.allclose(seen.hessian_times(theta, v), product, rtol=1e-8, atol=1e-10)
    step = 1e-7
    ahead, behind = (seen.value(theta + sign * step * v) for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    # By differences the statistics move along, so only where they are the loss's own is this its gradient.
    assert torch.allclose(slope, (gradients * v).sum(1), rtol=1e-4) == bool(batch)


def test_rows_and_weights_are_kept_apart(made: tuple[Any, Tensor]) -> None:
    objective, theta = made
    values = objective.value(theta)
    assert torch.equal(objective.rows([1]).value(theta[1:]), values[1:])
    lost = theta.clone()
    lost[0] = torch.nan
    assert torch.equal(objective.value(lost)[1], values[1])
    half = objective.given(weights={"data": torch.tensor([0.5, 3.0])})
    assert torch.allclose(half.value(theta), values * torch.tensor([0.5, 3.0]))
    moved = objective.given(coefficients={"replaced": np.array([0.6, 0.6])})
    assert torch.equal(moved.value(theta[[1, 1]]), values[[1, 1]])


def test_mirror_images_are_shown_where_they_are_as_good(made: tuple[Any, Tensor]) -> None:
    objective, theta = made

    class Mirrored(Digits):
        mirrored = True

    mirrored = sweep.objective_of(planned(), dtype="float64")
    mirrored.problem = Mirrored()  # type: ignore[attr-defined]
    images, labels = images_and_labels(planned()[0])
    chosen = objective.minibatch(2, 8)._chosen
    flipped = np.random.default_rng([2, 1]).random(N)[chosen] < 0.5
    seen = torch.stack([image.flip(2) if own else image for image, own in zip(images[chosen], flipped, strict=True)])
    wanted = cross_entropy(objective.model.scores(theta[0], seen), labels[chosen])
    assert 0 < flipped.sum() < 8
    assert float(mirrored.minibatch(2, 8).value(theta)[0]) == pytest.approx(float(wanted), rel=1e-10)
    assert torch.equal(mirrored.value(theta), objective.value(theta))


def test_errors_count_wrong_classes_and_the_confusion_matrix_says_which(made: tuple[Any, Tensor]) -> None:
    objective, theta = made
    errors, confusion = objective.errors(theta, heldout=True), objective.solution(theta)["solution"]
    test = Digits().heldout()
    images, classes = torch.as_tensor(test.images).double(), torch.as_tensor(test.classes)
    statistics = objective.model.statistics(theta[0], images_and_labels(planned()[0])[0])
    scores = objective.model.scores(theta[0], images, statistics)
    assert float(errors["test_error"][0]) == pytest.approx(float((scores.argmax(1) != classes).double().mean()))
    assert float(errors["heldout_error"][0]) == pytest.approx(float(cross_entropy(scores, classes)))
    right = np.diag(confusion[0]) @ np.bincount(test.classes) / len(test)
    assert confusion.shape == (2, 10, 10) and np.allclose(confusion.sum(2), 1)
    assert 1 - right == pytest.approx(float(errors["test_error"][0]))


def test_steps_are_those_of_200_epochs_and_residuals_are_refused(made: tuple[Any, Tensor]) -> None:
    objective, theta = made
    assert objective.published_steps(6) == 600 and objective.published_steps(64) == 200
    with pytest.raises(BadRequest, match="is no mean of squares"):
        objective.residuals(theta)


def test_a_short_training_is_a_full_record_and_reproduces() -> None:
    (spec,) = planned(coefficients={"replaced": [0.2]}, settings={"steps": 3, "batch": 6})
    ((one,),), ((two,),) = list(sweep.train([spec])), list(sweep.train([spec]))
    assert one.theta_final == two.theta_final and one.iterations == 3
    assert one.train_loss and one.test_error and one.heldout_error and one.test_error_l1 is None
    found = sweep.diagnose(spec, "solution", theta_initial=None, theta_final=one.theta_final or b"")
    assert found.numbers["test_error"] == pytest.approx(one.test_error) and found.arrays["solution"].shape == (10, 10)


def test_training_is_that_of_torchs_sgd() -> None:
    (spec,) = planned(coefficients={"replaced": [0.2]}, settings={"steps": 4, "batch": 6}, dtype="float64")
    ((record,),) = list(sweep.train([spec]))
    objective, theta = sweep.objective_of([spec]), sweep.initial_weights([spec])
    optimiser = torch.optim.SGD([theta], lr=0.1, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 4)
    for number in range(4):
        theta.grad = objective.minibatch(number, 6).value_and_gradient(theta)[1]
        optimiser.step()
        scheduler.step()
    assert torch.allclose(sweep.from_bytes(record.theta_final or b"", "float64"), theta[0], rtol=1e-9, atol=1e-12)


def test_a_batch_that_does_not_fit_into_memory_is_refused_before_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a batch are normalised together, so they go through the network at once."""
    whole, batch, growing = (
        planned(coefficients={"replaced": [0.2]}, data=[1400], model={"width": 16}, settings={"steps": 2, **asked})[0]
        for asked in ({"batch": 256}, {"batch": 1400}, {"batch": 700, "growth": 2.0})
    )
    monkeypatch.setattr(memory, "free", lambda device: 4 * sweep.objective_of([whole]).memory(1))
    assert len(next(iter(sweep.train([whole])))) == 1
    for large in (batch, growing):
        with pytest.raises(BadRequest, match="a smaller batch"):
            next(iter(sweep.train([large])))


def test_the_narrow_variant_is_named_and_reads_back() -> None:
    (spec,) = sweep.plan(MapName.parse("resnet/digits/sgd@narrow"), coefficients={"replaced": [0.0]}, data=[50])
    assert str(spec.map) == "resnet/digits/sgd@narrow" and spec.model["width"] == 16 and spec.settings["steps"] == 600
    assert dataclasses.replace(spec, variant="").cell_id == spec.cell_id
