"""The NVIDIA devices of this machine, as NVML tells of them where `pynvml` is installed. All calls block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

_GIB: Final = 1 << 30


class Gpus:
    """The devices that this process may use.

    Args:
        nvml: The module `pynvml`, after its `nvmlInit`.
        variables: The environment; `NVIDIA_VISIBLE_DEVICES`, else `CUDA_VISIBLE_DEVICES`, names the devices, by number or UUID.
    """

    def __init__(self, nvml: Any, variables: Mapping[str, str]) -> None:
        self._nvml = nvml
        devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        self._devices = _chosen(nvml, devices, variables.get("NVIDIA_VISIBLE_DEVICES") or variables.get("CUDA_VISIBLE_DEVICES") or "all")

    @classmethod
    def find(cls, variables: Mapping[str, str]) -> Gpus | None:
        """The devices, or None: no `pynvml`, no driver, no device."""
        try:
            import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]  # optional

            pynvml.nvmlInit()
        except Exception:  # noqa: BLE001  # no package, no driver, one that does not fit: NVML has an error class for each, and none of them is needed
            return None
        found = cls(pynvml, variables)
        return found if found._devices else None

    def sample(self) -> dict[str, float]:
        """What each device does now; what one cannot tell is left out.

        Raises:
            Exception: an error of NVML: the driver is gone, or a device.
        """
        nvml = self._nvml
        found: dict[str, float] = {}
        for index, device in self._devices.items():
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
            found[f"gpu_{index}_mem_usage"] = 100.0 * memory.used / memory.total
            found[f"gpu_{index}_mem_free_gb"] = (memory.total - memory.used) / _GIB
            self._add(found, f"gpu_{index}_temperature", lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))  # noqa: B023  # called here
            self._add(found, f"gpu_{index}_utilization", lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu)  # noqa: B023
            self._add(found, f"gpu_{index}_power_draw", lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000)  # noqa: B023
        return found

    def used_memory(self, pids: Collection[int]) -> dict[str, float]:
        """What some processes use of each device; where it cannot be told whose it is, what all of them use.

        Raises:
            Exception: as `sample`.
        """
        nvml = self._nvml
        found: dict[str, float] = {}
        for index, device in self._devices.items():
            used = nvml.nvmlDeviceGetMemoryInfo(device).used
            with contextlib.suppress(nvml.NVMLError):
                running = [*nvml.nvmlDeviceGetComputeRunningProcesses(device), *nvml.nvmlDeviceGetGraphicsRunningProcesses(device)]
                ours = {process.pid: process.usedGpuMemory for process in running if process.pid in pids}
                if ours and None not in ours.values():
                    used = sum(ours.values())
            found[f"gpu_{index}_mem_used_gb"] = used / _GIB
        return found

    def _add(self, found: dict[str, float], name: str, read: Callable[[], float]) -> None:
        try:
            found[name] = float(read())
        except self._nvml.NVMLError_NotSupported:  # as the utilization of a part of a device
            return


def _chosen(nvml: Any, devices: list[Any], wish: str) -> dict[int, Any]:
    """The devices that a list names; all of them where it names none of these."""
    names = [name.strip() for name in wish.split(",")]
    if names in (["none"], ["void"]):
        return {}
    found: dict[int, Any] = {}
    for index, device in enumerate(devices):
        uuid = nvml.nvmlDeviceGetUUID(device)
        uuid = uuid.decode() if isinstance(uuid, bytes) else str(uuid)
        if any(name == str(index) or (len(name) > 4 and uuid.startswith(name)) for name in names):
            found[index] = device
    return found or dict(enumerate(devices))
