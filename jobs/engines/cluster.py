"""The engine of a Dask cluster: the same supervised child, started by a worker of an existing scheduler.

An order is JSON and names a registered kind of job; no code travels. What Dask does not promise is made up for here:
an attempt is kept by the scheduler until it ends (``fire_and_forget``), a cancelled one is told by an event of its own
(``Future.cancel`` does not stop a running task), and submitting a known key attaches to what runs under it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs import identity
from jobs.child import GRACE_SECONDS, Child
from jobs.engine import LOST, DeviceState, Message, Need, OnProgress, Outcome
from jobs.logs import log_path
from sciml_backend import paths
from sciml_backend.run import PROTOCOL_VERSION, BadRequest

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

TOPIC = "regime-atlas"
GPU = "GPU"
"""The resource that a worker with a GPU is started with: ``--resources GPU=1``."""
CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 5.0
LISTEN_SECONDS = 0.25
"""How often a supervisor looks whether its attempt was cancelled."""
CERTIFICATES = {
    "tls_ca_file": "ENGINE_CA",
    "tls_client_cert": "ENGINE_CERT",
    "tls_client_key": "ENGINE_KEY",
}


class ClusterEngine:
    """Attempts on the workers of the scheduler at ``address``, one per thread or share of a GPU.

    Workers must see this server's data folder under their own ``ATLAS_DATA``. Certificates are named by ``ENGINE_CA``,
    ``ENGINE_CERT`` and ``ENGINE_KEY``. A scheduler that does not answer is tried again and again, and is then given
    anew what it may have lost. Raises BadRequest when the address or a certificate cannot be used.
    """

    outlives_us = True

    def __init__(self, address: str) -> None:
        self.address = address
        self._certificates = require_address(address)
        self._orders: dict[str, tuple[str, Need]] = {}
        self._futures: dict[str, Future[Any]] = {}
        self._dropped: set[str] = set()
        self._callback: OnProgress = lambda key, message: None
        self.trouble = ""
        self._client: Client | None = None
        self._tried_at = -math.inf
        from distributed.utils import LoopRunner

        # One loop for all clients: one that fails to connect would leave its own running.
        self._runner = LoopRunner(asynchronous=False)
        self._runner.start()
        self._connected()

    def submit(self, key: str, task: str, *, job_id: str, need: Need) -> None:
        """Start an attempt, or attach to the one that runs under this key; as soon as the scheduler answers."""
        order = {"key": key, "job_id": job_id, "task": task, "data": identity.made(), "topic": _topic(),
                 "protocol_version": PROTOCOL_VERSION}  # fmt: skip
        client = self._connected()
        self._orders[key] = json.dumps(order), need
        if client is not None:
            self._order(client, key)

    def _order(self, client: Client, key: str) -> None:
        from distributed import fire_and_forget

        order, need = self._orders[key]
        resources = {GPU: need.share} if need.device.startswith("cuda") else None
        self._futures[key] = client.submit(attempt, order, key=key, pure=False, retries=0, resources=resources)
        fire_and_forget(self._futures[key])

    def cancel(self, key: str) -> None:
        """Have the attempt's supervisor stop it; one that waits for a worker is dropped."""
        from distributed import Event

        client, future = self._connected(), self._futures.get(key)
        if client is None or future is None:
            return
        Event(_stop(key), client=client).set()
        if key not in _started(client, [key]):
            self._dropped.add(key)
            future.cancel(force=True)

    def status(self, keys: Collection[str]) -> dict[str, Outcome | None]:
        """Outcomes by key; while the scheduler does not answer, nothing is known to have ended."""
        client = self._connected()
        if client is None:
            return dict.fromkeys(keys)
        for key in self._orders.keys() - set(keys):
            del self._orders[key]
            self._futures.pop(key, None)
            self._dropped.discard(key)
        for key, future in self._futures.items():
            if future.status == "cancelled" and key not in self._dropped:
                self._order(client, key)  # the client lost its scheduler for a moment, and with it what it knew
        return {key: _outcome(self._futures[key]) for key in keys if key in self._futures}

    def on_progress(self, callback: OnProgress) -> None:
        """Name the receiver of the workers' messages."""
        self._callback = callback

    def capacity(self, need: Need) -> str:
        """cpu or cuda, where workers have that much left of it; the scheduler chooses the worker."""
        kind = need.device.partition(":")[0]
        room = {device.name: device.slots - device.used for device in self.devices()}
        return kind if room.get(kind, 0.0) >= need.share - 1e-9 else ""

    def devices(self) -> list[DeviceState]:
        """The threads of all workers as one device, and their GPUs as another."""
        client = self._connected()
        if client is None:
            return []
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        total = {
            "cpu": sum(float(worker["nthreads"]) for worker in workers),
            "cuda": sum(float(worker["resources"].get(GPU, 0.0)) for worker in workers),
        }
        used = dict.fromkeys(total, 0.0)
        for key, future in self._futures.items():
            if not future.done():
                need = self._orders[key][1]
                used[need.device.partition(":")[0]] += need.share
        hosts = len({worker["host"] for worker in workers})
        label = f"{len(workers)} worker{'s' * (len(workers) != 1)} on {hosts} machine{'s' * (hosts != 1)}"
        memory = sum(int(worker["memory_limit"] or 0) for worker in workers)
        found = [DeviceState(name="cpu", label=label, slots=total["cpu"], used=used["cpu"], memory=memory)]
        if total["cuda"]:
            found.append(DeviceState(name="cuda", label="GPUs of the workers", slots=total["cuda"], used=used["cuda"]))
        return found

    def close(self, *, grace: float) -> None:
        """Leave the cluster; what runs there goes on."""
        self._leave(grace)
        self._runner.stop()

    def _leave(self, seconds: float) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=seconds)

    def _connected(self) -> Client | None:
        """The client, a new one if the scheduler had been away; None while it is."""
        if self._client is not None and self._client.status == "running":
            return self._client
        if time.monotonic() > self._tried_at + RECONNECT_SECONDS:
            self._tried_at = time.monotonic()
            before = self.trouble
            try:
                self._leave(CONNECT_SECONDS)
                self._client = self._connect()
                self.trouble = ""
                for key in self._orders:
                    self._order(self._client, key)
            except (OSError, ValueError, TypeError) as error:
                self.trouble = (
                    f"The scheduler at ENGINE_ADDRESS={self.address} cannot be reached ({_first_line(error)}); start "
                    "it, or unset ENGINE_ADDRESS to compute on the server's machine."
                )
                if self.trouble != before:
                    logger.warning("%s", self.trouble)
        return self._client

    def _connect(self) -> Client:
        from distributed import Client, Security

        tls = Security(require_encryption=True, **self._certificates) if self._certificates else None
        client = Client(self.address, security=tls, timeout=CONNECT_SECONDS, set_as_default=False,
                        name=TOPIC, loop=self._runner.loop)  # fmt: skip
        client.subscribe_topic(_topic(), self._hear)
        return client

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, heard = event
        self._callback(heard["key"], heard["message"])


def attempt(order: str) -> dict[str, Any]:
    """The task of a worker: supervise a child to its end; an ``Outcome`` as a dict. Runs in a worker's thread."""
    from distributed import get_worker

    asked = json.loads(order)
    if problem := _unfit(asked):
        return asdict(Outcome(ok=False, error_class="WrongWorker", error_text=problem, retry=False))
    worker = get_worker()

    def tell(message: Message) -> None:
        worker.log_event(asked["topic"], {"key": asked["key"], "message": {**message, "host": worker.name}})

    child = Child(asked["task"], log=log_path(asked["job_id"]), tell=tell)
    while child.running:
        child.wait(timeout=LISTEN_SECONDS)
        if child.running and _cancelled(asked["key"]):
            child.stop(grace=GRACE_SECONDS)
    assert child.outcome is not None
    return asdict(child.outcome)


def _unfit(asked: Mapping[str, Any]) -> str:
    """Why this worker cannot do what was asked, as one sentence; empty when it can."""
    if asked["protocol_version"] != PROTOCOL_VERSION:
        return (
            f"The worker's code has protocol version {PROTOCOL_VERSION}, the server's {asked['protocol_version']}; "
            "install the same version on both."
        )
    if asked["data"] != identity.read():
        return (
            f"The worker's data folder {paths.var()} is not the server's; mount the server's folder on the worker and "
            "name it in ATLAS_DATA."
        )
    return ""


def _cancelled(key: str) -> bool:
    from distributed import Event

    try:
        return bool(Event(_stop(key)).is_set())
    except Exception:  # no scheduler, no cancel: the attempt goes on, and what it finishes is kept
        return False


def _outcome(future: Future[Any]) -> Outcome | None:
    if not future.done():
        return None
    if future.status == "finished":
        return Outcome(**future.result())
    if future.status == "cancelled":
        return LOST
    error = future.exception()
    return Outcome(ok=False, error_class=type(error).__name__, error_text=_first_line(error), retry=True)


def _started(client: Client, keys: Collection[str]) -> set[str]:
    """Those of the keys that a worker has begun."""
    return {key for tasks in client.processing().values() for key in tasks} & set(keys)


def _stop(key: str) -> str:
    return f"stop-{key}"


def _topic() -> str:
    """One scheduler may serve several installations."""
    return f"{TOPIC}-{identity.made()}"


def require_address(address: str) -> dict[str, str]:
    """The certificates for an address, none for this machine's own; raises BadRequest when either cannot be used."""
    refusal = BadRequest(f"ENGINE_ADDRESS is like tls://host:8786, got {address!r}.")
    try:
        parts = urlsplit(address)
        whole = parts.scheme in ("tls", "tcp") and parts.hostname and parts.port
    except ValueError:  # no port, or no closing bracket
        raise refusal from None
    if not whole:
        raise refusal
    if parts.scheme == "tcp":
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise BadRequest(
                f"ENGINE_ADDRESS={address} is open to everyone on the network; run the scheduler with TLS and name "
                "tls:// and certificates in ENGINE_CA, ENGINE_CERT and ENGINE_KEY."
            )
        return {}
    files = {name: os.environ.get(variable, "") for name, variable in CERTIFICATES.items()}
    if absent := [v for name, v in CERTIFICATES.items() if not os.path.isfile(files[name])]:
        raise BadRequest(f"ENGINE_ADDRESS={address} needs certificates; {', '.join(absent)} names no file.")
    return files


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200].rstrip(".")
