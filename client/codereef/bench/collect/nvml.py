# SPDX-License-Identifier: Apache-2.0
"""Energy and memory of NVIDIA GPUs, from the driver's own library (NVML) by ctypes.

The library comes with the driver, so nothing has to be installed; `nvidia-smi` reads the same library, but
starts a process of its own for each reading. Functions and structures: NVML API Reference Manual.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from codereef.bench.collect.base import Phase, energy_metrics, not_available
from codereef.bench.response import Metric

LIBRARY = "libnvidia-ml.so.1"
#: NVML does not say how often the energy counter is refreshed; power readings are ten a second.
REFRESH_S = 0.1
_SUCCESS = 0
_UNKNOWN_MEMORY = (1 << 64) - 1
_GPU_WORDS = ("cuda", "tensorrt", "gpu", "nvidia")
_MOST_PROCESSES = 1024


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t of `nvmlDeviceGetComputeRunningProcesses_v3`."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used_gpu_memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class NvmlError(Exception):
    """The library is absent or refused; the text says why, as a clause for people."""


class _Library:
    """The few calls that are needed, each of which raises NvmlError."""

    def __init__(self, name: str) -> None:
        try:
            self._library = ctypes.CDLL(name)
        except OSError:
            raise NvmlError("no NVIDIA driver is installed (its library NVML is not there)") from None
        self._call("nvmlInit_v2")

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise NvmlError(f"the driver is too old: its NVML has no {name}") from None
        function.restype = ctypes.c_int
        code = function(*arguments)
        if code != _SUCCESS:
            raise NvmlError(f"NVML's {name} said: {self._words(code)}")

    def _words(self, code: int) -> str:
        try:
            function = self._library.nvmlErrorString
        except AttributeError:
            return f"error {code}"
        function.restype = ctypes.c_char_p
        text = function(ctypes.c_int(code))
        return f"{(text or b'').decode('utf-8', 'replace')} ({code})".strip()

    def devices(self) -> list[ctypes.c_void_p]:
        """All GPUs."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        handles = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
            handles.append(handle)
        return handles

    def millijoules(self, device: ctypes.c_void_p) -> int:
        """Energy since the driver was loaded."""
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", device, ctypes.byref(value))
        return value.value

    def used(self, device: ctypes.c_void_p) -> int:
        """Memory in use by all processes, in bytes."""
        memory = _Memory()
        self._call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
        return int(memory.used)

    def held(self, device: ctypes.c_void_p, pid: int) -> Optional[int]:
        """Memory that a process holds, in bytes; None when it is not listed or nobody knows how much."""
        name = "nvmlDeviceGetComputeRunningProcesses_v3"
        count = ctypes.c_uint(_MOST_PROCESSES)
        rows = (_Process * _MOST_PROCESSES)()
        self._call(name, device, ctypes.byref(count), rows)
        for row in rows[: count.value]:
            if row.pid == pid:
                return None if row.used_gpu_memory == _UNKNOWN_MEMORY else int(row.used_gpu_memory)
        return None

    def close(self) -> None:
        """Give the library back."""
        self._call("nvmlShutdown")


class Nvml:
    """Energy of the GPUs, and the memory that the process holds there.

    Args:
        providers: what the runtime executes on; without a GPU among them nothing is read.
        library: name or path of NVML.
    """

    metrics: Mapping[str, tuple[str, str]] = {
        "energy_gpu": ("J", "lower"),
        "power_gpu": ("W", "lower"),
        "device_memory": ("B", "lower"),
    }

    def __init__(self, providers: Sequence[str], library: str = LIBRARY) -> None:
        self._providers, self._name = providers, library
        self._library: Optional[_Library] = None
        self._devices: list[ctypes.c_void_p] = []
        self._before: list[int] = []
        self._reason = self._no_counter = ""

    def start(self) -> None:
        """See `Collector.start`."""
        if not any(word in provider.lower() for provider in self._providers for word in _GPU_WORDS):
            listed = ", ".join(self._providers) or "the processor"
            self._reason = f"the runtime executes on no NVIDIA GPU (on {listed})"
            return
        try:
            self._library = _Library(self._name)
            self._devices = self._library.devices()
            if not self._devices:
                raise NvmlError("NVML sees no GPU")
        except NvmlError as error:
            self._reason = str(error)
            return
        try:
            self._before = [self._library.millijoules(device) for device in self._devices]
        except NvmlError as error:
            self._no_counter = f"this GPU has no energy counter: {error}"

    def stop(self, phase: Phase) -> dict[str, Metric]:
        """See `Collector.stop`."""
        library = self._library
        if library is None or self._reason:
            return not_available(self.metrics, self._reason or "the phase did not start")
        try:
            return {**self._energy(library, phase), **self._memory(library)}
        finally:
            library.close()

    def _energy(self, library: _Library, phase: Phase) -> dict[str, Metric]:
        names = {name: self.metrics[name] for name in ("energy_gpu", "power_gpu")}
        if self._no_counter or phase.seconds <= 0:
            return not_available(names, self._no_counter or "the phase took no time")
        try:
            after = [library.millijoules(device) for device in self._devices]
        except NvmlError as error:
            return not_available(names, str(error))
        gained = [end - begin for begin, end in zip(self._before, after)]
        if min(gained) < 0:
            return not_available(names, "the energy counter went backwards (the driver was loaded again)")
        count = len(self._devices)
        covers = f"the whole of {count} GPU{'s' if count > 1 else ''}, whoever used them"
        return energy_metrics("gpu", sum(gained) / 1e3, REFRESH_S, phase, "NVML's total energy", covers)

    def _memory(self, library: _Library) -> dict[str, Metric]:
        unit, direction = self.metrics["device_memory"]
        try:
            held = [library.held(device, os.getpid()) for device in self._devices]
            known = [value for value in held if value is not None]
            if known:
                method = "memory that this process holds on its GPUs at the end of the measuring phase (NVML)"
                return {"device_memory": Metric(float(sum(known)), unit, direction, method, 1)}
        except NvmlError:
            pass  # drivers of containers refuse this; the whole is known all the same
        try:
            used = sum(library.used(device) for device in self._devices)
        except NvmlError as error:
            return not_available({"device_memory": (unit, direction)}, str(error))
        method = "memory in use on all GPUs by all processes at the end of the measuring phase (NVML lists no process)"
        return {"device_memory": Metric(float(used), unit, direction, method, 1)}
