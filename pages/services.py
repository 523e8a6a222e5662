"""What the running server shares with its pages: the store, the catalogue's record, and the guard of the frame.

The server (or a test) calls ``provide`` once; pages ask ``store()`` and ``record()`` in every script run. Job control
needs nothing from here: pages import ``jobs.queue``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from sciml_backend.run import BadRequest

if TYPE_CHECKING:
    from sciml_backend.store.connection import Store

_INSIDE_FRAME = "_inside_frame"


@dataclass(frozen=True)
class _Services:
    store: Store
    record: Mapping[str, Any]


_provided: list[_Services] = []


def provide(store: Store, record: Mapping[str, Any]) -> None:
    """Give pages a store to read and the catalogue's record (``catalog_record``); replaces what was given before."""
    _provided[:] = [_Services(store, record)]


def store() -> Store:
    """The results; hand it to ``sciml_backend.store.queries`` and key caches on ``store().version()``.

    Raises RuntimeError when no server provided it.
    """
    return _ours().store


def record() -> Mapping[str, Any]:
    """The catalogue for people: families, problems, strategies, diagnostics, maps, cost, version, protocol_version.

    Raises RuntimeError when no server provided it.
    """
    return _ours().record


def enter_frame() -> None:
    """Called by ``app.py`` before it runs a page."""
    st.session_state[_INSIDE_FRAME] = True


def guard() -> None:
    """The first call of every page: a page that was not reached through ``app.py`` sends its visitor there."""
    if _INSIDE_FRAME not in st.session_state:
        st.switch_page("app.py")  # noqa: TID251  (nothing was drawn yet, so nothing is timed)


@contextmanager
def told() -> Iterator[None]:
    """Say in its place what cannot be done: errors of which nobody told are hidden from visitors."""
    try:
        yield
    except BadRequest as refusal:
        st.error(str(refusal))


def fragment(body: Callable[..., None], *, run_every: float | None = None) -> Callable[..., None]:
    """A part of a page that is drawn by itself, now and then or when something in it changes; see ``told``."""
    return st.fragment(told()(body), run_every=run_every)


def _ours() -> _Services:
    if not _provided:
        raise RuntimeError("No server provides a store; start the dashboard with `make app`.")
    return _provided[0]
