# SPDX-License-Identifier: Apache-2.0
"""File systems of machines that are not here, written from public facts, with canaries in private places.

Every file that a real machine keeps private things in holds the word CANARY: none may reach any fact.
"""

from __future__ import annotations

from pathlib import Path

CANARY = "CANARY"

_PRIVATE = {
    "etc/hostname": "CANARY-host",
    "etc/machine-id": "CANARY0123456789abcdef0123456789",
    "proc/sys/kernel/hostname": "CANARY-host",
    "proc/version": "Linux version 6.1 (CANARY-user@CANARY-host) #1",
    "proc/1/environ": "USER=CANARY\0HOME=/home/CANARY\0HOSTNAME=CANARY-host\0",
    "sys/class/net/eth0/address": "CA:NA:RY:CANARY",
    "sys/class/dmi/id/product_serial": "CANARY-serial",
    "sys/class/dmi/id/product_uuid": "CANARY-uuid",
    "sys/class/dmi/id/board_serial": "CANARY-serial",
    "sys/class/dmi/id/chassis_asset_tag": "CANARY-tag",
    "proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/disk/by-uuid/CANARY rw",
    "proc/sys/kernel/random/boot_id": "CANARY-boot",
}


def write(root: Path, files: dict[str, str]) -> Path:
    """Write `files` below `root` and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith(("\n", "\0")) else text + "\n")
    return root


def _caches(cpu: int, *described: tuple[int, str, str, str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for index, (level, kind, size, shared) in enumerate(described):
        base = f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
        values = (("level", str(level)), ("type", kind), ("size", size), ("shared_cpu_list", shared))
        files.update({f"{base}/{name}": value for name, value in values})
    return files


def raspberry_pi_4(root: Path) -> Path:
    """A Raspberry Pi 4 Model B, 4 GB, with the 64-bit Raspberry Pi OS 12."""
    block = (
        "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
    )
    files = {
        **_PRIVATE,
        "proc/cpuinfo": "".join(block.format(n=n) for n in range(4))
        + "Revision\t: c03114\nSerial\t\t: 10000000CANARY01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/device-tree/serial-number": "10000000CANARY01\0",
        "proc/meminfo": "MemTotal:        3885396 kB\nMemAvailable:    3000000 kB\nSwapTotal:        204796 kB\n"
        "SwapFree:         204796 kB\n",
        "proc/loadavg": "0.10 0.05 0.01 1/150 999",
        "proc/stat": "cpu  1000 0 500 90000 100 0 10 0 0 0\nprocs_running 1\n",
        "proc/uptime": "7300.50 28000.00",
        "proc/self/status": "Name:\tCANARY\nCpus_allowed_list:\t0-3\n",
        "proc/self/cgroup": "0::/user.slice/CANARY.scope\n",
        "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-v8",
        "proc/sys/kernel/randomize_va_space": "2",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
        "sys/devices/system/cpu/online": "0-3",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "600000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1500000",
        "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1500000",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "0",
        "sys/class/thermal/cooling_device0/type": "thermal-cpufreq-0",
        "sys/class/thermal/cooling_device0/cur_state": "0",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "48199",
        "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical",
        "sys/class/thermal/thermal_zone0/trip_point_0_temp": "110000",
        "sys/class/drm/card0/device/uevent": "DRIVER=v3d\nOF_FULLNAME=/v3dbus/CANARY\nOF_COMPATIBLE_0=brcm,2711-v3d",
    }
    for cpu in range(4):
        base = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files[f"{base}/physical_package_id"] = "0"
        files[f"{base}/thread_siblings_list"] = str(cpu)
        each = str(cpu)
        files |= _caches(cpu, (1, "Data", "32K", each), (1, "Instruction", "48K", each), (2, "Unified", "1024K", "0-3"))
    return write(root, files)


def laptop(root: Path) -> Path:
    """A laptop with a Core i7-8650U on its battery, governor powersave, swapping and hot."""
    block = (
        "processor\t: {n}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n"
        "model name\t: Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz\nstepping\t: 10\nmicrocode\t: 0xf6\n"
        "cpu MHz\t\t: {mhz}\nflags\t\t: fpu sse2 ssse3 sse4_1 sse4_2 avx avx2 fma f16c smep smap\n\n"
    )
    files = {
        **_PRIVATE,
        "proc/cpuinfo": "".join(block.format(n=n, mhz=800 + n) for n in range(8)),
        "proc/meminfo": "MemTotal:       16227396 kB\nMemAvailable:    2000000 kB\nSwapTotal:       8000000 kB\n"
        "SwapFree:        7000000 kB\n",
        "proc/loadavg": "5.50 3.00 1.00 3/900 4242",
        "proc/stat": "cpu  1000 0 500 90000 100 0 10 0 0 0\nprocs_running 3\n",
        "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-7\n",
        "proc/self/cgroup": "0::/user.slice/user-1000.slice/CANARY.scope\n",
        "proc/sys/kernel/osrelease": "6.8.0-45-generic",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n',
        "sys/devices/system/cpu/online": "0-7",
        "sys/devices/system/cpu/smt/active": "1",
        "sys/devices/system/cpu/intel_pstate/no_turbo": "0",
        "sys/class/dmi/id/sys_vendor": "LENOVO",
        "sys/class/dmi/id/product_name": "20L7CTO1WW",
        "sys/bus/pci/devices/0000:00:02.0/class": "0x030000",
        "sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086",
        "sys/bus/pci/devices/0000:00:02.0/device": "0x5917",
        "sys/bus/pci/devices/0000:00:1f.6/class": "0x020000",
        "sys/bus/pci/devices/0000:00:1f.6/vendor": "0x8086",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce MX150\nGPU UUID: \t GPU-CANARY\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.107.02  Wed\n",
        "sys/class/power_supply/AC/type": "Mains",
        "sys/class/power_supply/AC/online": "0",
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/status": "Discharging",
        "sys/class/power_supply/BAT0/capacity": "61",
        "sys/class/power_supply/BAT0/serial_number": "CANARY",
        "sys/class/power_supply/BAT0/power_now": "9500000",
        "sys/class/power_supply/hidpp_battery_0/type": "Battery",
        "sys/class/power_supply/hidpp_battery_0/scope": "Device",
        "sys/class/power_supply/hidpp_battery_0/status": "Full",
        "sys/class/hwmon/hwmon3/name": "coretemp",
        "sys/class/hwmon/hwmon3/temp1_label": "Package id 0",
        "sys/class/hwmon/hwmon3/temp1_input": "97000",
        "sys/class/hwmon/hwmon3/temp1_crit": "100000",
    }
    for cpu in range(8):
        here = f"sys/devices/system/cpu/cpufreq/policy{cpu}"
        files[f"{here}/scaling_governor"] = "powersave"
        files[f"{here}/scaling_cur_freq"] = "3900000"
        files[f"{here}/scaling_max_freq"] = "4200000"
        files[f"{here}/cpuinfo_max_freq"] = "4200000"
        base = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{base}/topology/physical_package_id"] = "0"
        files[f"{base}/topology/thread_siblings_list"] = f"{cpu % 4},{cpu % 4 + 4}"
        files[f"{base}/thermal_throttle/core_throttle_count"] = "2"
        files |= _caches(cpu, (1, "Data", "32K", f"{cpu % 4},{cpu % 4 + 4}"), (3, "Unified", "8192K", "0-7"))
    return write(root, files)


def cloud_container(root: Path) -> Path:
    """A container of Docker in a KVM guest, limited to one and a half of four processors."""
    name = "docker/CANARY0123456789"
    files = {
        **_PRIVATE,
        "proc/cpuinfo": "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n"
        "model name\t: AMD EPYC 7R13 Processor\nflags\t\t: fpu avx2 avx512f hypervisor\n\n",
        "proc/1/cgroup": f"0::/{name}\n",
        "proc/self/cgroup": f"0::/{name}\n",
        "proc/meminfo": "MemTotal:        7900000 kB\n",
        "proc/stat": "cpu  1000 0 500 90000 100 0 10 300 0 0\nprocs_running 2\n",
        "proc/self/status": "Cpus_allowed_list:\t0,2\n",
        "proc/sys/kernel/osrelease": "6.1.0-CANARY-aws",
        "sys/devices/system/cpu/online": "0-3",
        "sys/class/dmi/id/sys_vendor": "Amazon EC2",
        "sys/class/dmi/id/product_name": "c6a.xlarge",
        "sys/fs/cgroup/cgroup.controllers": "cpu memory",
        "sys/fs/cgroup/docker/cpu.max": "max 100000",
        f"sys/fs/cgroup/{name}/cpu.max": "150000 100000",
        f"sys/fs/cgroup/{name}/memory.max": str(2 << 30),
    }
    return write(root, files)


def rapl_server(root: Path) -> Path:
    """A server with two packages, their memory, a platform domain and the copy of a domain, as powercap shows them."""
    base = "sys/class/powercap"
    files = {f"{base}/intel-rapl/enabled": "1"}
    for socket in range(2):
        here = f"{base}/intel-rapl:{socket}"
        files |= {
            f"{here}/name": f"package-{socket}",
            f"{here}/energy_uj": str(1_000_000 * (socket + 1)),
            f"{here}/max_energy_range_uj": "262143328850",
            f"{here}/constraint_0_max_power_uw": "205000000",
            f"{here}/constraint_1_max_power_uw": "0",
            f"{base}/intel-rapl:{socket}:0/name": "dram",
            f"{base}/intel-rapl:{socket}:0/energy_uj": "500000",
            f"{base}/intel-rapl:{socket}:0/max_energy_range_uj": "65712999613",
            f"{base}/intel-rapl:{socket}:1/name": "core",
            f"{base}/intel-rapl:{socket}:1/energy_uj": "7",
        }
    for name, zone in (("psys", "intel-rapl:2"), ("package-0", "intel-rapl-mmio:0")):
        files |= {f"{base}/{zone}/name": name, f"{base}/{zone}/energy_uj": "7"}
    files["proc/stat"] = "cpu  1000 0 500 90000 100 0 10 0 0 0\ncpu0 500 0 250 45000 50 0 5 0 0 0\nprocs_running 1\n"
    files["sys/devices/system/cpu/online"] = "0-63"
    files["sys/devices/system/cpu/isolated"] = "2-3"
    files["sys/devices/system/cpu/smt/control"] = "off"
    return write(root, {**_PRIVATE, **files})
