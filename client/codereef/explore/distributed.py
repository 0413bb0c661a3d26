# SPDX-License-Identifier: Apache-2.0
"""Measuring on Dask workers: of a scheduler that is there, or of a LocalCluster.

Each worker has the resource `measure=1`, and each host measures one thing at a time, however many workers it has:
two measurements on one machine would measure each other. Only pinned workers of a LocalCluster measure at once.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from codereef.errors import CrError, NetworkError, RunError, UsageError
from codereef.explore.jobs import Finished, Job
from codereef.explore.scheduler import CONNECT_SECONDS, require_distributed
from codereef.explore.worker import measure_job
from codereef.run.process import Update

RESOURCE = "measure"
#: Seconds without any worker after which an exploration ends; it can be resumed.
PATIENCE = 60.0
_POLL = 0.25
_ASK = 2.0
#: What Dask does beside a measurement, on the machine that measures: sample the worker's stack a hundred times a
#: second, and look fifty times a second whether its event loop keeps up.
_CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "1h",
}


def shares(count: int, cpus: Sequence[int]) -> list[list[int]]:
    """Divide processors among workers: as many for each, neighbours together; what is left over is nobody's.

    Raises:
        UsageError: there are fewer processors than workers.
    """
    each = len(cpus) // count
    if each == 0:
        raise UsageError(
            f"{count} pinned workers need {count} processors; this machine lets cr use {len(cpus)}.",
            hint=f"Ask for --workers {len(cpus)} at most, or leave --pinned out.",
        )
    return [list(cpus[i * each : (i + 1) * each]) for i in range(count)]


@contextlib.contextmanager
def local_cluster(count: int) -> Iterator[str]:
    """Run a LocalCluster of worker processes during the block; yields its scheduler's address.

    Raises:
        RunError: it could not be started.
    """
    module = require_distributed()
    with tempfile.TemporaryDirectory(prefix="codereef-dask-") as scratch:
        # Ctrl-C goes to the whole process group; the workers are ended by us, when we are done with them.
        with _ignored_interrupts(), import_module("dask").config.set(_CALM):
            try:
                cluster = module.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    resources={RESOURCE: 1},
                    host="127.0.0.1",
                    dashboard_address=None,
                    local_directory=scratch,
                    # Limits are the measured program's own; its memory is not the worker's.
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            except (OSError, RuntimeError, TimeoutError) as error:
                raise RunError(
                    f"The workers of this machine could not be started: {error}.",
                    hint="Without --workers cr measures without Dask.",
                ) from None
        try:
            yield str(cluster.scheduler_address)
        finally:
            cluster.close(timeout=10)


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Workers:
    """The workers of a scheduler as machines.

    Args:
        address: of the scheduler, as `tcp://host:8786`.
        order: what every job says: `solution`, `directory`, `timeout`, `memory`.
        graphs: by configuration, what a worker must have.
        cpus: a share of processors for each worker, all on this machine, which then measure at once; None else.

    Raises:
        NetworkError: the scheduler does not answer.
        UsageError: Dask is not installed.
    """

    def __init__(
        self,
        address: str,
        order: Mapping[str, Any],
        graphs: Mapping[str, Mapping[str, str]],
        cpus: Sequence[Sequence[int]] | None = None,
    ) -> None:
        module = require_distributed()
        try:
            with import_module("dask").config.set(_CALM):
                self._client = module.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise NetworkError(
                f"The Dask scheduler at {address} does not answer: {error}.",
                hint="Start it with `dask scheduler`, and give its address, such as tcp://host:8786.",
                context={"scheduler": address},
            ) from None
        self._address = address
        self._order, self._graphs, self._cpus = order, graphs, cpus
        self._share: dict[str, Sequence[int]] = {}
        #: machine -> job, its future, the worker it runs on, when it began
        self._running: dict[str, tuple[Job, Any, str, float]] = {}
        self._alone_since: float | None = None
        self._known: dict[str, str] = {}
        self._offered: set[str] = set()
        self._asked = -math.inf

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for _job, future, _worker, _begun in self._running.values():
            with contextlib.suppress(Exception):
                future.cancel()
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)

    def _workers(self) -> dict[str, str]:
        """Return the host of every worker that may measure, by address; asked for every two seconds at most."""
        if time.monotonic() - self._asked > _ASK:
            try:
                info = self._client.sync(self._client.scheduler.identity)
            except (OSError, TimeoutError, ValueError, AttributeError) as error:
                raise NetworkError(
                    f"The Dask scheduler at {self._address} has gone: {error}.",
                    hint="Start it again, then go on with --resume.",
                ) from None
            self._known = {
                address: str(worker.get("host", address))
                for address, worker in info["workers"].items()
                if worker.get("resources", {}).get(RESOURCE, 0) >= 1
            }
            self._asked = time.monotonic()
        return self._known

    def names(self) -> Sequence[str]:
        """Return a name for each machine: its host, or the address of a pinned worker."""
        found = self._machines()
        self._offered = set(found)
        return found

    def _machines(self) -> list[str]:
        workers = self._workers()
        if self._cpus is None:
            return list(dict.fromkeys(workers.values()))
        for address in workers:
            if address not in self._share and len(self._share) < len(self._cpus):
                self._share[address] = self._cpus[len(self._share)]
        return [address for address in workers if address in self._share]

    def start(self, machine: str, job: Job) -> None:
        address = next((a for a, host in self._workers().items() if machine in (a, host)), machine)
        order = {
            **self._order,
            "configuration": job.configuration,
            "given": dict(job.given),
            "graph": self._graphs[job.configuration],
            "cpus": list(self._share[machine]) if self._cpus is not None else None,
        }
        future = self._client.submit(
            measure_job,
            order,
            workers=[address],
            resources={RESOURCE: 1},
            pure=False,
            retries=0,
            key=f"codereef-{job.point}-{job.round}-{os.urandom(4).hex()}",
        )
        self._running[machine] = (job, future, address, time.monotonic())

    def wait(self, on_update: Callable[[Job, Update], None]) -> Sequence[Finished]:
        """Wait until a job has ended or lost its worker, or workers have come.

        Raises:
            RunError: there has been no worker for a minute.
            NetworkError: the scheduler has gone.
        """
        while True:
            ended = [f for machine in list(self._running) if (f := self._ended(machine)) is not None]
            now = set(self._machines())
            # What has come since the caller last asked, or come back while it has nothing to wait for.
            if ended or now - self._offered or (now and not self._running):
                return ended
            self._require_workers(bool(now))
            for job, _future, _address, begun in self._running.values():
                on_update(job, Update(f"measuring for {time.monotonic() - begun:.0f} s", 0, None, None))
            time.sleep(_POLL)

    def _require_workers(self, any_there: bool) -> None:
        now = time.monotonic()
        if any_there:
            self._alone_since = None
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since > PATIENCE:
            raise RunError(
                f"The scheduler at {self._address} has had no worker with the resource `{RESOURCE}` for "
                f"{PATIENCE:.0f} s.",
                hint=f'Start one on each machine: `dask worker {self._address} --nthreads 1 --resources "{RESOURCE}=1"`.',
            )

    def _ended(self, machine: str) -> Finished | None:
        """Return what became of a machine's job, or None while it goes on."""
        job, future, address, begun = self._running[machine]
        status, seconds = future.status, time.monotonic() - begun
        found: Finished | None = None
        if status == "finished":
            found = _read(job, machine, seconds, future.result())
        elif status == "error" and type(problem := future.exception()).__name__ != "KilledWorker":
            found = Finished(job, machine, seconds, refused=_defect(machine, problem))
        elif status in ("error", "lost", "cancelled"):
            # Where the scheduler is what has gone, that is said, and no point is blamed for it.
            self._asked = -math.inf
            self._workers()
            found = Finished(job, machine, seconds, error="its worker went away", lost=True)
        elif address not in self._workers():
            # Its task is bound to that worker and would wait for it for ever.
            found = Finished(job, machine, seconds, error="its worker went away", lost=True)
        if found is not None:
            del self._running[machine]
            with contextlib.suppress(Exception):
                future.cancel()
        return found


def _read(job: Job, machine: str, seconds: float, answer: Mapping[str, Any]) -> Finished:
    if "refused" in answer:
        told = answer["refused"]
        error = CrError(f"{machine}: {told['message']}", hint=told["hint"], context=told["context"])
        error.exit_code, error.code = int(told["exit_code"]), str(told["code"])
        return Finished(job, machine, seconds, refused=error)
    if "failed" in answer:
        return Finished(job, machine, seconds, error=str(answer["failed"]))
    return Finished(job, machine, float(answer["seconds"]), answer["document"])


def _defect(machine: str, problem: BaseException) -> CrError:
    """Return the error for a worker that cannot run what it is sent at all: it would fail at every point."""
    return RunError(
        f"{machine}: its worker failed: {type(problem).__name__}: {problem}.",
        hint="Install the same version of cr on the worker as here, in the Python that runs `dask worker`.",
    )
