"""Draw the README's pictures from the shipped results: ``python -m docs.pictures`` (needs kaleido and a chromium)."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from PIL import Image

import sciml_backend
from sciml_backend.figures.regime_map import regime_map
from sciml_backend.regimes import Thresholds, boundaries, complete, footing, labelled

HERE = Path(__file__).parent
SIZE = {"width": 620, "height": 460, "scale": 1.5}
NAME = "pinn/convection/lbfgs"


def means(name: str, *, source: str = "computed") -> pd.DataFrame:
    """Seed means of a map's cells, in the columns figures read."""
    runs = sciml_backend.read(name, source=source)
    cells = runs.groupby(["x", "y"], as_index=False)[["train_loss", "test_error"]].mean()
    counts = runs.groupby(["x", "y"], as_index=False).size()["size"]
    return cells.assign(n_seeds=counts, n_diverged=0, n_failed=0)


def panel(grid: pd.DataFrame, metric: str, title: str, thresholds: Thresholds, **options: object) -> Image.Image:
    """One panel with its boundaries, as a picture on white."""
    cells = labelled(complete(grid), thresholds)
    lines = boundaries(grid, thresholds)
    figure = regime_map(
        cells, metric, boundaries=lines, regimes="text", title=title, x_title="β", y_title="N_f", **options
    )
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", font_color="#222", showlegend=False)
    return Image.open(io.BytesIO(figure.to_image(format="png", **SIZE)))


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Panels side by side, row under row."""
    wide, tall = rows[0][0].size
    page = Image.new("RGB", (wide * len(rows[0]), tall * len(rows)), "white")
    for j, row in enumerate(rows):
        for i, picture in enumerate(row):
            page.paste(picture, (i * wide, j * tall))
    return page.quantize(256, method=Image.Quantize.FASTOCTREE)


def rectangle(grid: pd.DataFrame) -> pd.DataFrame:
    """Without the rows and columns of which there is one cell only."""
    several = [grid.groupby(axis)["train_loss"].transform("size") > 1 for axis in ("x", "y")]
    return grid[several[0] & several[1]]


def thresholds_of(grid: pd.DataFrame) -> Thresholds:
    """As the map's page starts."""
    published = means(NAME, source="published")
    return footing(grid, xs=published["x"], ys=published["y"], published=published).thresholds


def published_and_computed() -> None:
    """The float32 map beside the published one."""
    rows = []
    for source, label in (("computed", "computed here"), ("published", "published")):
        grid = means(NAME, source=source)
        thresholds = thresholds_of(grid) if source == "computed" else Thresholds()
        rows.append(
            [
                panel(grid, "train_loss", f"Training loss, {label}", thresholds),
                panel(grid, "test_error", f"Test error, {label}", thresholds),
            ]
        )
    sheet(rows).save(HERE / "map.png", optimize=True)


def precision() -> None:
    """How regime II moves between precisions, on the rows and columns that both have, with the float32 thresholds."""
    single, double = means(NAME), rectangle(means(f"{NAME}@float64"))
    both = single.merge(double[["x", "y"]], on=["x", "y"])
    thresholds = Thresholds(reference=single)
    scale = tuple(pd.concat([both, double])["train_loss"].quantile([0.05, 0.95]))
    row = [
        panel(cells, "train_loss", f"Training loss, {dtype}", thresholds, log=True, colour_range=scale)
        for cells, dtype in ((both, "float32"), (double, "float64"))
    ]
    sheet([row]).save(HERE / "precision.png", optimize=True)


if __name__ == "__main__":
    published_and_computed()
    if len(sciml_backend.read(f"{NAME}@float64")):
        precision()
