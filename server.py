"""The dashboard's server: one process that owns the results, dispatches jobs and serves the pages.

``python server.py [--host HOST] [--port PORT]`` starts it; SIGTERM or Ctrl-C stops it. ``app`` is the ASGI application.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import ipaddress
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st
import uvicorn
from streamlit import config
from streamlit.runtime.pages_manager import PagesManager

from jobs.dispatcher import Dispatcher, start_dispatcher
from jobs.engine import require_settings
from pages import services
from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store import open_store
from sciml_backend.store.backup import keep_backups
from sciml_backend.store.connection import Store

logger = logging.getLogger(__name__)

INGEST_SECONDS = 2.0
KEEP_SECONDS = 600.0
"""How often it is looked whether a backup is due and small batches can be merged."""
RECORD_SECONDS = 300
STOP_SECONDS = 3
NEEDED_BY_PAGES = (
    "pandas",
    "plotly.graph_objects",
    "scipy.optimize",
    "sciml_backend.figures",
    "sciml_backend.regimes",
    "jobs.queue",
)
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1"]

# Until the first visit to app.py Streamlit would serve the files in pages/ by themselves, around app.py.
PagesManager.uses_pages_directory = False
app = st.App(paths.ROOT / "app.py")


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal; leaves with one sentence and status 1 when it cannot start."""
    asked = _parser().parse_args(arguments)
    _on_signal(_leave_at_once)
    try:
        require_settings()  # what is wrong is said here, not to a dispatcher that is started later
        with _listening(asked.host, asked.port) as listener, _services():
            _serve(listener, asked.host)
    except BadRequest as refusal:
        sys.exit(str(refusal))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="server.py", description="Serve the dashboard of Regime Atlas.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", default=8501, type=int, help="port to listen on; 0 takes a free one (default: 8501)")
    return parser


def _on_signal(act: Callable[..., Any] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, act)


def _leave_at_once(*_: object) -> None:
    """End during the start: nothing runs yet that must be stopped, and the index survives any end."""
    os._exit(0)


def _leave(*_: object) -> None:
    """Unwind and end with status 0; uvicorn puts its own handler in front and calls this one when it has closed."""
    sys.exit(0)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadRequest(f"Cannot listen on {host}, port {port} ({reason}); name another HOST or PORT.") from None
    with listener:
        yield listener


@contextmanager
def _services() -> Iterator[None]:
    """Own the store, know the catalogue, take in results and dispatch jobs.

    Raises BadRequest when another server owns the store or the catalogue cannot be read.
    """
    with _catalogue_record() as record, open_store() as store:
        services.provide(store, record())
        stopping = threading.Event()
        worker = threading.Thread(target=_keep_current, args=(store, stopping), name="ingest")
        worker.start()
        try:
            _on_signal(_leave)
            yield
        finally:
            _on_signal(signal.SIG_IGN)  # a second signal must not cut the clean-up short
            stopping.set()
            worker.join()


@contextmanager
def _catalogue_record() -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Have a child write what pages know of the catalogue: it imports torch, this process never does.

    It works while the store is opened; what is yielded waits for it, and raises BadRequest when it failed.
    """
    target = (paths.var() / "catalog.json").resolve()
    command = [sys.executable, "-m", "sciml_backend.catalog_record", str(target)]
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    with subprocess.Popen(
        command, cwd=paths.ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:

        def written() -> Mapping[str, Any]:
            try:
                _, said = child.communicate(timeout=RECORD_SECONDS)
            except subprocess.TimeoutExpired:
                raise BadRequest(f"The catalogue was not read within {RECORD_SECONDS} s; try again.") from None
            if child.returncode:
                last = (said.strip().splitlines() or ["it said nothing."])[-1]
                reason = last.removeprefix("sciml_backend.run.BadRequest: ")
                raise BadRequest(f"The catalogue cannot be read: {reason}")
            record: Mapping[str, Any] = json.loads(target.read_text())
            return record

        try:
            yield written
        finally:
            child.kill()


def _keep_current(store: Store, stopping: threading.Event) -> None:
    """Dispatch jobs, and take in what they deliver, keep backups and few files, until told to stop."""
    dispatcher: Dispatcher | None = None
    complaint, kept_at = "", -math.inf
    while not stopping.is_set():
        try:
            # While `python -m jobs work` dispatches, the server leaves the jobs to it and takes over when it ends.
            dispatcher = dispatcher or _dispatcher_if_free()
            store.ingest()
            complaint = ""
        except Exception as error:  # a full disk now is no reason to stop for ever
            if str(error) != complaint:
                logger.warning("Results could not be taken in (%s); this is tried again until it works.", error)
            complaint = str(error)
        if time.monotonic() > kept_at + KEEP_SECONDS:
            kept_at = time.monotonic()
            _keep(store)
        stopping.wait(INGEST_SECONDS)
    if dispatcher:
        dispatcher.stop()
    try:
        store.ingest()  # what stopped workers left behind
    except Exception as error:
        logger.warning("The last results stay in the spool until the next start (%s).", error)


def _keep(store: Store) -> None:
    """Back up and merge small batches where it is time to."""
    try:
        keep_backups()
        store.tidy()
    except Exception as error:  # results are taken in all the same
        logger.warning("No backup was made or no small batches merged (%s); this is tried again later.", error)


def _dispatcher_if_free() -> Dispatcher | None:
    try:
        return start_dispatcher(wait_for_ingest=True)
    except BadRequest:
        return None


def _serve(listener: socket.socket, host: str) -> None:
    address, port = listener.getsockname()[:2]
    outside = not ipaddress.ip_address(address).is_loopback
    config.set_option("server.address", address)
    if not outside and not config.is_manually_set("server.allowedHosts"):
        config.set_option("server.allowedHosts", LOOPBACK_NAMES)  # no web page elsewhere can rebind its name to us
    for module in NEEDED_BY_PAGES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is there now stays: later collections need not look at it
    listener.listen(2048)
    print(f"Regime Atlas is at http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C stops it).", flush=True)
    if outside:
        print("Everyone who reaches this address can see results and start jobs.", flush=True)
    settings = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=int(config.get_option("server.maxMessageSize")) * 2**20,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    finally:
        gc.unfreeze()  # else the interpreter reports at its end what it could not collect


if __name__ == "__main__":
    main()
