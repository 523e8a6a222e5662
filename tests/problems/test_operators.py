"""Data of the operator-learning problems: solutions of their equation, laid out as published, the same everywhere."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml_backend import catalog, disk_cache, paths
from sciml_backend.run import BadRequest
from sciml_backend.solution_operator import PeriodicOperator, Samples, SolutionOperator
from sciml_backend.solvers import periodic_square
from sciml_backend.solvers.gaussian_field import gaussian_field

OPERATORS = sorted(n for n, e in catalog.entries("problems").items() if issubclass(e.cls, SolutionOperator))
PERIODIC = [name for name in OPERATORS if issubclass(catalog.entry("problems", name).cls, PeriodicOperator)]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    disk_cache.forget()
    yield
    disk_cache.forget()


def operator(name: str) -> SolutionOperator:
    found = catalog.problem(name)
    assert isinstance(found, SolutionOperator)
    return found


def sample(name: str, n: int, *, at: int = -1, **options: int | str) -> Samples:
    """n samples on the coarse grid at one end of the problem's axis."""
    problem = operator(name)
    options = {"grid": min(problem.grids)} | options
    return problem.samples(n, {problem.axis.name: problem.axis.axis[at]}, **options)


def darcy() -> Any:
    """The module, for its residuals."""
    return sys.modules[catalog.entry("problems", "darcy").cls.__module__]


@pytest.mark.parametrize("name", OPERATORS)
def test_samples_have_the_shapes_promised(name: str) -> None:
    problem, found, side = operator(name), sample(name, 6), min(operator(name).grids)
    assert len(found) == 6 and found.targets.shape == (6, 1, side, side)
    assert found.fields.shape[1] + found.numbers.shape[1] == problem.channels == len(found.units)
    inputs = found.inputs()
    assert inputs.shape == (6, problem.channels, side, side) and inputs.dtype == np.float32
    assert np.array_equal(found.inputs(slice(2, 4)), inputs[2:4])
    assert np.array_equal(found.inputs(np.array([5, 0])), inputs[[5, 0]])
    assert all(np.isfinite(a).all() and a.dtype == np.float32 for a in vars(found).values())


@pytest.mark.parametrize("name", OPERATORS)
def test_smaller_sets_are_part_of_larger_ones(name: str) -> None:
    problem = operator(name)
    few, many = problem.data_axis[:2]
    small, large = sample(name, few), sample(name, many)
    places = np.arange(few) * many // few if name in PERIODIC else np.arange(few)
    for part in ("fields", "numbers", "targets", "sizes"):
        assert np.array_equal(getattr(small, part), getattr(large, part)[places]), part
    assert np.array_equal(small.units, large.units)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_same_samples_come_again_and_others_from_another_seed(name: str) -> None:
    def digest(**options: int | str) -> str:
        disk_cache.forget()
        found = sample(name, 8, **options)
        return hashlib.sha256(found.inputs().tobytes() + found.targets.tobytes()).hexdigest()

    first = digest()
    for part in paths.samples().glob("*.npz"):
        part.unlink()
    others = {digest(data_seed=1), digest(split=operator(name).heldout), digest(at=0)}
    assert digest() == first and len(others | {first}) == 4


@pytest.mark.parametrize("name", PERIODIC)
@pytest.mark.parametrize("grid", [32, 128])
def test_targets_solve_the_equation_of_their_inputs(name: str, grid: int) -> None:
    found = sample(name, 8, at=0, grid=grid)
    source, u = found.fields[:, 0].astype(float), found.targets[:, 0].astype(float)
    diffusion, velocity = np.split(found.numbers.astype(float), [3], axis=1)
    diffused, advected = periodic_square.terms(u, diffusion=diffusion, velocity=velocity if velocity.size else None)
    off = np.linalg.norm(diffused + advected - source, axis=(1, 2)) / np.linalg.norm(source, axis=(1, 2))
    assert off.max() < 5e-4, "differentiating twice makes more of float32's rounding"


@pytest.mark.parametrize("name", PERIODIC)
def test_sources_are_the_published_ones(name: str) -> None:
    problem = operator(name)
    assert isinstance(problem, PeriodicOperator)
    found = sample(name, 1024).fields[:, 0].astype(float)
    assert abs(found.mean(axis=(1, 2))).max() < 1e-7
    assert np.allclose(found.max(axis=(1, 2)) - found.min(axis=(1, 2)), 1.0, atol=0.05), "the largest value was 1"
    chance = problem._random(1024, split="train", data_seed=0)[:, :144]
    for quarter, omitted in enumerate((0.2, 0.4, 0.6, 0.8)):
        block = slice(256 * quarter, 256 * (quarter + 1))
        there = (chance[block] > omitted).mean()
        assert there == pytest.approx(1 - omitted, abs=4 * np.sqrt(0.25 / 144 / 256))
        alone = sample(name, 4).fields[quarter, 0]
        assert np.array_equal(alone, found[256 * quarter].astype(np.float32)), "a set of four has one of each quarter"
    bumpiness = [found[256 * q : 256 * (q + 1)].std(axis=(1, 2)).mean() for q in range(4)]
    assert bumpiness[0] > 1.2 * bumpiness[3], "fewer Gaussians, more empty space"


def test_conductivities_are_drawn_from_their_range() -> None:
    found = sample("poisson_2d", 1024, at=2)  # 5-10
    matrices = found.numbers[:, [0, 2, 2, 1]].reshape(-1, 2, 2).astype(float)
    low, high = np.linalg.eigvalsh(matrices).T / 0.01
    assert np.allclose(low, 1, atol=1e-5) and high.min() > 5 - 1e-4 and high.max() < 10 + 1e-4
    assert high.mean() == pytest.approx(7.5, abs=4 * 5 / np.sqrt(12 * 1024))
    assert abs(found.numbers[:, 2].mean()) < 0.005, "as often one way as the other"


@pytest.mark.parametrize("at", [0, 3, 7])
def test_advection_over_diffusion_is_in_its_range_in_the_mean(at: int) -> None:
    """The table of mean ratios, measured: their mean is the middle of the range they were drawn from."""
    problem = operator("advection_diffusion")
    low = problem.axis.axis[at]
    high = dict(zip(problem.axis.axis, (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.0, 2.5), strict=True))[low]
    found = sample("advection_diffusion", 4096, at=at)
    numbers = found.numbers.astype(float)
    mix = np.linalg.norm(numbers[:, 3:], axis=1)
    diffused, advected = periodic_square.terms(
        found.targets[:, 0].astype(float), diffusion=numbers[:, :3], velocity=numbers[:, 3:]
    )
    ratio = np.linalg.norm(advected, axis=(1, 2)) / np.linalg.norm(diffused, axis=(1, 2))
    assert ratio.mean() == pytest.approx((low + high) / 2, rel=0.02)
    eigenvalues = np.linalg.eigvalsh(numbers[:, [0, 2, 2, 1]].reshape(-1, 2, 2)) / (0.01 * (1 - mix))[:, None]
    assert np.allclose(eigenvalues[:, 0], 1, atol=1e-4) and 1 <= eigenvalues[:, 1].min() + 1e-4
    assert eigenvalues[:, 1].max() < 5 + 1e-3 and eigenvalues[:, 1].mean() == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("name", PERIODIC)
def test_a_network_sees_numbers_of_size_one(name: str) -> None:
    """The source always with the same norm; coefficients with a median of about 1, and their ratio to it kept."""
    found = sample(name, 1024)
    inputs = found.inputs()
    norms = np.linalg.norm(inputs[:, 0], axis=(1, 2))
    assert np.allclose(norms, norms[0], rtol=1e-5)
    assert np.allclose(np.median(abs(inputs[:, 1:, 0, 0]), axis=0), 1, atol=0.15)
    assert (np.ptp(inputs[:, 1:], axis=(2, 3)) == 0).all()
    heldout = sample(name, 256, split=operator(name).heldout)
    assert np.array_equal(heldout.units, found.units), "in the units of the training pool"
    assert np.linalg.norm(heldout.inputs()[0, 0]) == pytest.approx(norms[0], rel=1e-5)


def test_a_coarse_grid_samples_nearly_the_same_solutions() -> None:
    """A Gaussian is one node wide there: the spectral solution is still good to a few percent."""
    coarse, fine = sample("poisson_2d", 8), sample("poisson_2d", 8, grid=128)
    apart = np.linalg.norm(coarse.targets - fine.targets[..., ::4, ::4]) / np.linalg.norm(coarse.targets)
    assert 0 < apart < 0.05


@pytest.mark.parametrize(
    ("name", "c", "options", "said"),
    [
        ("poisson_2d", {"K": 3.0}, {}, r"K must be one of 1-2.5 \(1\), 2.5-5 \(2.5\), .*, got 3"),
        ("poisson_2d", {"K": 1.0}, {"n": 40_000}, "between 1 and 32,768"),
        ("poisson_2d", {"K": 1.0}, {"grid": 64}, "sampled with 128 or 32 nodes a side, got 64"),
        ("advection_diffusion", {"Psi": 0.2}, {"split": "dev"}, "no split 'dev'; it has train, validation, test"),
        ("advection_diffusion", {"Psi": 0.2}, {"split": "validation", "n": 5000}, "1 to 4,096 samples"),
        ("darcy", {"r": 0.5}, {}, "r must lie between 1 and 100, got 0.5"),
    ],
)
def test_bad_requests_are_one_sentence(name: str, c: dict[str, float], options: dict[str, int], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        operator(name).samples(**{"n": 4, "c": c} | options)


# -- Darcy ------------------------------------------------------------------------------------------------------


def residual_of_the_solution(kind: str, r: float, *, n: int, grid: int) -> list[float]:
    """‖residual‖ / ‖1‖ of n sampled solutions."""
    problem = catalog.problem("darcy")
    u = torch.tensor(problem.samples(n, {"r": r}, grid=grid).targets)[:, 0]
    known = torch.tensor(problem.known(kind, n, {"r": r}, grid=grid))
    off = darcy().RESIDUALS[kind](u, known)
    return [float(field.square().mean().sqrt()) for field in off]


@pytest.mark.parametrize(("r", "wanted"), [(1, (0.003, 0.003)), (2, (0.744, 0.704)), (4, (1.568, 1.468))])
def test_the_published_residual_is_as_far_off_as_measured_on_the_original(r: float, wanted: tuple[float]) -> None:
    """And so are the published fields: the first two of its training set."""
    assert residual_of_the_solution("published", r, n=2, grid=61) == pytest.approx(wanted, abs=6e-4)


@pytest.mark.parametrize("r", [1, 4, 10])
def test_the_solution_satisfies_the_corrected_residual(r: float) -> None:
    off = residual_of_the_solution("corrected", r, n=2, grid=31)
    assert max(off) < 1e-2
    if r > 1:
        assert min(residual_of_the_solution("published", r, n=2, grid=31)) > 50 * max(off)


@pytest.mark.parametrize("kind", ["published", "corrected"])
def test_residuals_take_rows_of_networks_and_no_field_at_all_is_one_off(kind: str) -> None:
    problem = catalog.problem("darcy")
    known = torch.tensor(problem.known(kind, 2, {"r": 2.0}, grid=31))
    u = torch.tensor(problem.samples(2, {"r": 2.0}, grid=31).targets)[:, 0]
    rows = torch.stack([u, 0 * u, 2 * u]).requires_grad_()
    residual = darcy().RESIDUALS[kind](rows, known)
    assert residual.shape == (3, 2, 27, 27) if kind == "published" else (3, 2, 29, 29)
    assert torch.equal(residual[1], -torch.ones_like(residual[1]))
    assert torch.allclose(residual[2] + 1, 2 * (residual[0] + 1), atol=1e-2), "linear in u"
    (gradient,) = torch.autograd.grad(residual.square().sum(), rows)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_the_published_residual_is_exact_for_quadratics() -> None:
    """u = x(1 - x) + 2 y(1 - y) and a = 0.5 everywhere: -div(a grad u) = 3, so it is 2 off."""
    along = torch.linspace(0, 1, 13, dtype=torch.float64)
    u = along * (1 - along) + 2 * along[:, None] * (1 - along[:, None])
    residual = darcy().central_differences(u, torch.full_like(u, 0.5))
    assert residual.shape == (9, 9) and torch.allclose(residual, torch.full_like(residual, 2.0))


def test_permeability_is_one_of_two_and_all_samples_are_alike_without_contrast() -> None:
    found = sample("darcy", 20)
    a = found.fields[:, 0]
    assert set(np.unique(a)) == {3.0, 30.0}
    assert (a == 30).mean() == pytest.approx(0.5, abs=0.06)
    assert np.array_equal(found.fields[3, 1, 7], np.linspace(0, 1, 31, dtype=np.float32)), "x along a row"
    assert np.array_equal(found.fields[3, 2, :, 7], np.linspace(0, 1, 31, dtype=np.float32)), "y down a column"
    assert not found.targets[..., [0, -1]].any() and not found.targets[..., [0, -1], :].any()
    same = sample("darcy", 5, at=0)
    assert (same.fields[:, 0] == 3).all() and np.ptp(same.targets, axis=0).max() == 0
    assert same.targets.max() == pytest.approx(0.07367 / 3, rel=1e-3), "the known maximum of -Δu = 1"


def test_fields_do_not_depend_on_how_many_are_drawn() -> None:
    """The generator's numbers come in blocks, of which a set's size must not cut one."""
    few, many = (list(darcy().permeabilities(n, 2.0, grid=31, seed=0)) for n in (3, 19))
    assert len(few) == 3 and len(many) == 19
    assert all(np.array_equal(one, other) for one, other in zip(few, many, strict=False))
    noise = torch.randn(32, 211, 106, 2, generator=torch.Generator().manual_seed(0))  # as published: in one go
    z = gaussian_field(noise.double().numpy() @ np.array([1, 1j]), tau=3, alpha=2)
    assert all(((one > 3) == (z[i] >= 0)).all() for i, one in enumerate(many))


def test_no_sample_of_a_map_is_solved_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, solved = darcy().finite_difference.solve, []
    monkeypatch.setattr(darcy().finite_difference, "solve", lambda a: solved.append(a) or solve(a))
    for n in (12, 5, 10):
        found = operator("darcy").samples(n, {"r": 7.0}, grid=31)
        for a, wanted in zip(solved, found.targets, strict=False):  # in the order of the samples
            assert np.array_equal(solve(a)[:: darcy().FINE, :: darcy().FINE].astype(np.float32), wanted[0])
    assert len(solved) == 12


def test_an_unknown_residual_gets_the_known_ones() -> None:
    with pytest.raises(BadRequest, match="no residual 'weak'; it has published, corrected"):
        catalog.problem("darcy").known("weak", 2, {"r": 2.0})
