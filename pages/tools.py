"""The row of tools below a view: downloads of what it shows, and the link to it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages import address

Table = Callable[[], pd.DataFrame]


def show(stem: str, tables: dict[str, tuple[str, Table]]) -> None:
    """A CSV file for each table, under its name with what it holds, and the link; a table is made on the click.

    What a table depends on has to be at hand before: on a click the values of the view's controls are not known.
    """
    st.space("small")
    with st.container(horizontal=True):
        for name, (help, table) in tables.items():
            download(f"{name} (CSV)", f"{stem}-{name.lower()}.csv", help, csv(table))
        link()


def download(label: str, file: str, help: str, content: Callable[[], bytes]) -> None:
    """A button that makes the file's content and saves it."""
    st.download_button(label, content, file, on_click="ignore", help=help, icon=":material/download:")


def csv(table: Table) -> Callable[[], bytes]:
    """A table as the content of a CSV file, with its index where that has a name."""
    return lambda: (found := table()).to_csv(index=found.index.name is not None).encode()


def link() -> None:
    """The address of the view, to copy; comes after ``address.keep``, which writes it."""
    with st.popover("Link to this view", icon=":material/link:", help="Every selection is in the address."):
        st.code(address.link(), language=None, wrap_lines=True)
