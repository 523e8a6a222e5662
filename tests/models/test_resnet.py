"""ResNet-18: the same scores as a network of torch's own modules, and what follows from its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml_backend.models.resnet import ResNet
from sciml_backend.run import BadRequest


class Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out))
        self.second = nn.Sequential(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out))
        self.shortcut = nn.Sequential()
        if n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def textbook(model: ResNet, strides: tuple[int, ...], theta: Tensor) -> nn.Module:
    w = model.width
    layers: list[nn.Module] = [nn.Conv2d(model.inputs, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU()]
    for stage, stride in enumerate(strides):
        wide = w * 2**stage
        layers += [Residual(w if stage == 0 else wide // 2, wide, stride), Residual(wide, wide, 1)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * w, model.outputs)]
    network = nn.Sequential(*layers).to(theta.dtype)
    nn.utils.vector_to_parameters(theta, network.parameters())  # in the order of theta
    return network


def moved(model: ResNet, seed: int = 0) -> Tensor:
    """Weights in float64 whose scales and shifts are not 1 and 0."""
    theta = model.init(seed).double()
    return theta + 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(seed), dtype=theta.dtype)


def test_the_standard_network_has_its_number_of_parameters() -> None:
    assert ResNet().parameters == 11_173_962


@pytest.mark.parametrize(("side", "strides"), [(8, (1, 2, 2, 1)), (16, (1, 2, 2, 2)), (7, (1, 2, 2, 1))])
def test_scores_and_gradient_are_those_of_torchs_modules(side: int, strides: tuple[int, ...]) -> None:
    model = ResNet(width=2, inputs=3, outputs=4)
    theta = moved(model)
    network = textbook(model, strides, theta)
    images = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaf = theta.clone().requires_grad_()
    scores = model.scores(leaf, images)
    assert torch.allclose(scores, network(images), rtol=1e-10)
    (gradient,) = torch.autograd.grad(scores.square().sum(), leaf)
    network(images).square().sum().backward()
    wanted = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert torch.allclose(gradient, wanted, rtol=1e-8, atol=1e-9)


def test_given_statistics_normalise_as_torchs_modules_in_evaluation_do() -> None:
    model = ResNet(width=2, inputs=1, outputs=3)
    theta = moved(model)
    images = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    statistics = model.statistics(theta, images)
    assert torch.allclose(model.scores(theta, images, statistics), model.scores(theta, images), rtol=1e-10)
    network = textbook(model, (1, 2, 2, 1), theta)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    # Theta has a block's shortcut last and its statistics are met last, as the modules are listed.
    for norm, (mean, var) in zip(norms, statistics, strict=True):
        norm.running_mean, norm.running_var = mean, var
    network.eval()
    assert torch.allclose(model.scores(theta, images[:4], statistics), network(images[:4]), rtol=1e-10)


def test_statistics_of_many_images_are_those_of_pieces_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ResNet(width=1, inputs=1, outputs=3)
    theta, images = moved(model), torch.randn(6, 1, 8, 8, dtype=torch.float64)
    whole = model.statistics(theta, images)
    monkeypatch.setattr("sciml_backend.models.resnet.TOGETHER", 4)
    pieces = model.statistics(theta, images)
    # The first layer's do not depend on how the images were normalised before.
    assert torch.allclose(pieces[0][0], whole[0][0]) and torch.allclose(pieces[0][1], whole[0][1])
    assert not torch.allclose(pieces[-1][1], whole[-1][1])


def test_initial_weights_have_hes_variance_and_follow_from_the_seed() -> None:
    model = ResNet(width=16)
    theta = model.init(3)
    assert torch.equal(theta, model.init(3)) and not torch.equal(theta, model.init(4))
    named = {block.name: theta[block.slice].reshape(block.shape) for block in model.layout}
    kernel = named["stage_3_block_1_second_kernel"]
    assert float(kernel.std()) == pytest.approx((2 / (9 * kernel.shape[0])) ** 0.5, rel=0.02)
    assert named["stem_scale"].unique().tolist() == [1] and named["stem_shift"].unique().tolist() == [0]


def test_predicted_memory_is_twice_what_is_kept_for_the_gradient() -> None:
    model, kept = ResNet(width=8), {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    theta = model.init(0).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        scores = model.scores(theta, torch.randn(16, 3, 16, 16))
    assert scores.requires_grad
    assert model.memory(16, 16, 4) == pytest.approx(2 * (sum(kept.values()) - 4 * model.parameters), rel=0.1)


def test_a_width_that_cannot_be_is_refused() -> None:
    with pytest.raises(BadRequest, match="a width from 1 to 512, got 0"):
        ResNet(width=0)
