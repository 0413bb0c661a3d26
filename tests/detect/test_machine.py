# SPDX-License-Identifier: Apache-2.0
"""The machine's class: real and written trees, privacy, caching, digest."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.detect import cpu
from codereef.detect.instance import instance_id
from codereef.detect.machine import CACHE_FILE, class_digest, machine_class

from tests.detect.trees import CANARY, cloud_container, laptop, raspberry_pi_4, write

TREES = [raspberry_pi_4, laptop, cloud_container]


def test_a_raspberry_pi_4_is_recognised(tmp_path: Path) -> None:
    facts: Any = machine_class(None, raspberry_pi_4(tmp_path), arch="aarch64")
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["cpu"]["model"] == "Arm Cortex-A72 r0p3"
    assert (facts["cpu"]["vendor"], facts["cpu"]["family"]) == ("Arm", 8)
    assert (facts["cpu"]["sockets"], facts["cpu"]["physical_cores"], facts["cpu"]["logical_cores"]) == (1, 4, 4)
    assert facts["cpu"]["isa"] == ["asimd", "crc32"]
    assert facts["cpu"]["caches"] == [
        {"level": 1, "type": "data", "size_kib": 32, "count": 4},
        {"level": 1, "type": "instruction", "size_kib": 48, "count": 4},
        {"level": 2, "type": "unified", "size_kib": 1024, "count": 1},
    ]
    assert facts["memory_mib"] == 3840
    assert facts["kernel"] == {"release": "6.6.51", "family": "6.6", "flavour": "rpi"}
    assert facts["accelerators"] == [{"bus": "platform", "kind": "display", "id": "brcm,2711-v3d", "count": 1}]
    assert facts["virtualisation"] == {"hypervisor": None, "container": None}
    assert facts["clock_source"] == "arch_sys_counter"


def test_a_laptop_is_recognised(tmp_path: Path) -> None:
    facts: Any = machine_class(None, laptop(tmp_path), arch="x86_64")
    assert facts["cpu"]["model"] == "Intel Core i7-8650U CPU @ 1.90GHz"
    assert (facts["cpu"]["physical_cores"], facts["cpu"]["logical_cores"], facts["cpu"]["smt"]) == (4, 8, True)
    assert facts["cpu"]["isa"] == ["avx", "avx2", "f16c", "fma", "sse2", "sse4_1", "sse4_2", "ssse3"]
    assert facts["cpu"]["caches"][0] == {"level": 1, "type": "data", "size_kib": 32, "count": 4}
    assert facts["board"] == "LENOVO 20L7CTO1WW"
    assert facts["gpu_driver"] == "nvidia 550.107.02"
    assert [(item["bus"], item["id"]) for item in facts["accelerators"]] == [
        ("pci", "8086:5917"),
        ("driver", "NVIDIA GeForce MX150"),
    ]
    assert facts["virtualisation"]["hypervisor"] is None


def test_a_container_in_a_guest_is_recognised(tmp_path: Path) -> None:
    facts: Any = machine_class(None, cloud_container(tmp_path), arch="x86_64")
    assert facts["virtualisation"] == {"hypervisor": "amazon", "container": "docker"}
    assert facts["kernel"] == {"release": "6.1.0", "family": "6.1", "flavour": "aws"}
    assert facts["cpu"]["physical_cores"] is None, "a fact that is not told is not guessed"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/1/cgroup": "1:name=systemd:/kubepods/besteffort/pod1"}, "kubernetes"),
        ({"proc/1/cgroup": "0::/machine.slice/libpod-12.scope"}, "podman"),
        ({"proc/1/cgroup": "0::/lxc/one"}, "lxc"),
        ({"run/systemd/container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"proc/1/environ": "A=b\0container=podman\0"}, "podman"),
        ({"run/.containerenv": ""}, "podman"),
        ({".dockerenv": ""}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope"}, None),
    ],
)
def test_kinds_of_containers_are_told_apart(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    facts: Any = machine_class(None, write(tmp_path, files), arch="x86_64")
    assert facts["virtualisation"]["container"] == expected


def test_two_kinds_of_cores_are_both_named(tmp_path: Path) -> None:
    block = "processor : {n}\nCPU implementer : 0x41\nCPU variant : 0x1\nCPU part : {part}\nCPU revision : 0\n\n"
    text = "".join(block.format(n=n, part="0xd05" if n < 4 else "0xd0b") for n in range(6))
    facts: Any = machine_class(None, write(tmp_path, {"proc/cpuinfo": text}), arch="aarch64")
    assert facts["cpu"]["kinds"] == [
        {"model": "Arm Cortex-A55 r1p0", "count": 4},
        {"model": "Arm Cortex-A76 r1p0", "count": 2},
    ]


@pytest.mark.parametrize("make", TREES)
def test_nothing_private_reaches_the_facts(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    root = make(tmp_path / "root")
    holders = [path for path in root.rglob("*") if path.is_file() and CANARY in path.read_text()]
    assert len(holders) >= 10, "the canaries are in their cages"
    text = json.dumps(machine_class(tmp_path / "cache", root, arch="x"))
    assert CANARY.lower() not in text.lower()
    assert str(root) not in text


def _private_words() -> set[str]:
    words = {os.uname().nodename, getpass.getuser(), str(Path.home())}
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        if Path(path).is_file():
            words.add(Path(path).read_text().strip())
    words |= {path.read_text().strip() for path in Path("/sys/class/net").glob("*/address")}
    # Words as short as a user's "vm" or a home of "/" occur in any text.
    return {word for word in words if len(word) > 4}


def test_nothing_private_of_this_machine_reaches_its_facts() -> None:
    text = json.dumps(machine_class(None))
    assert not [word for word in _private_words() if word in text]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts come from /proc")
def test_this_machine_tells_what_a_second_source_tells() -> None:
    facts: Any = machine_class(None)
    assert facts["cpu"]["logical_cores"] == os.cpu_count()
    assert facts["cpu"]["model"]
    assert facts["arch"] == os.uname().machine
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    assert abs(facts["memory_mib"] - total) <= max(512, 0.1 * total)


@pytest.mark.skipif(not Path("/etc/os-release").is_file(), reason="the facts come from os-release")
def test_the_system_is_what_distro_says() -> None:
    import distro

    facts: Any = machine_class(None)
    assert (facts["os"]["id"], facts["os"]["version"] or "", facts["os"]["name"]) == (
        distro.id(),
        distro.version(),
        distro.name(pretty=True),
    )


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts come from /proc")
def test_the_processor_is_what_py_cpuinfo_says() -> None:
    import cpuinfo

    facts: Any = machine_class(None)
    theirs = cpuinfo.get_cpu_info()
    if "vendor_id_raw" in theirs:  # An x86 processor; Arm's part numbers have no names there.
        assert facts["cpu"]["model"].split() == theirs["brand_raw"].replace("(R)", "").replace("(TM)", "").split()
    assert set(facts["cpu"]["isa"]) <= set(theirs["flags"])


@pytest.mark.parametrize("absent", [("cpuinfo", "distro"), ("distro",), ("cpuinfo",)])
def test_a_machine_that_tells_nothing_is_described_without_the_extras_too(
    monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...]
) -> None:
    from codereef.detect import machine

    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    system = machine._other_system()
    assert set(system) == {"id", "version", "name"}
    assert (system["id"] is None) is ("distro" in absent and sys.platform != "darwin")
    if "cpuinfo" in absent:
        assert cpu._fallback_brand() == ""


def test_facts_are_kept_until_the_next_boot(tmp_path: Path) -> None:
    root, cache = raspberry_pi_4(tmp_path / "root"), tmp_path / "cache"
    first = machine_class(cache, root, arch="aarch64")
    write(root, {"proc/device-tree/model": "Another Board"})
    assert machine_class(cache, root, arch="aarch64") == first
    write(root, {"proc/sys/kernel/random/boot_id": "another-boot"})
    assert machine_class(cache, root, arch="aarch64")["board"] == "Another Board"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format":"codereef-machine/1","entries":{}}', "\0" * 50])
def test_a_damaged_cache_is_replaced(tmp_path: Path, damage: str) -> None:
    root, cache = raspberry_pi_4(tmp_path / "root"), tmp_path / "cache"
    first = machine_class(cache, root, arch="aarch64")
    (cache / CACHE_FILE).write_text(damage)
    assert machine_class(cache, root, arch="aarch64") == first
    assert len(json.loads((cache / CACHE_FILE).read_text())["entries"]) == 1
    assert [path.name for path in cache.iterdir()] == [CACHE_FILE]


def test_the_digest_survives_updates_and_tells_machines_apart(tmp_path: Path) -> None:
    pi: Any = machine_class(None, raspberry_pi_4(tmp_path / "pi"), arch="aarch64")
    other = machine_class(None, laptop(tmp_path / "laptop"), arch="x86_64")
    digest = class_digest(pi)
    assert digest.startswith("sha256:") and len(digest) == 71
    updated = json.loads(json.dumps(pi))
    updated["kernel"]["release"] = "6.6.99"
    updated["cpu"]["microcode"] = "0x1"
    updated["gpu_driver"] = "nvidia 1.2"
    assert class_digest(updated) == digest
    assert class_digest(other) != digest
    smaller = json.loads(json.dumps(pi))
    smaller["memory_mib"] = 1792
    assert class_digest(smaller) != digest


@pytest.mark.parametrize(
    "passing",
    [
        {"proc/meminfo": "MemTotal:        3885396 kB\nMemFree: 12 kB\nMemAvailable:    99 kB\nSwapFree: 0 kB\n"},
        {"proc/meminfo": "MemTotal:        3884212 kB\nMemAvailable:    3000000 kB\n"},
        {"proc/loadavg": "9.99 9.99 9.99 9/150 999"},
        {"proc/uptime": "1.0 1.0", "proc/stat": "cpu  9 9 9 9 9 9 9 9 9 9"},
        {"proc/sys/kernel/osrelease": "6.6.74+rpt-rpi-v8"},
        {"sys/class/thermal/thermal_zone0/temp": "83000"},
        {"sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000"},
        {"sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "performance"},
        {"proc/self/status": "Cpus_allowed_list:\t0\n"},
        {"etc/machine-id": "another", "etc/hostname": "another", "proc/sys/kernel/random/boot_id": "another"},
        {"etc/os-release": 'PRETTY_NAME="Debian 12.9"\nID=debian\nVERSION_ID="12"\n'},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_passes_does_not_change_the_class(tmp_path: Path, passing: dict[str, str]) -> None:
    root = raspberry_pi_4(tmp_path)
    digest = class_digest(machine_class(None, root, arch="aarch64"))
    write(root, passing)
    assert class_digest(machine_class(None, root, arch="aarch64")) == digest


@pytest.mark.parametrize(
    "lasting",
    [
        {"proc/meminfo": "MemTotal:        7771112 kB\n"},
        {"proc/device-tree/model": "Raspberry Pi 400 Rev 1.0"},
        {"proc/sys/kernel/osrelease": "6.12.1+rpt-rpi-v8"},
        {"etc/os-release": 'ID=debian\nVERSION_ID="13"\n'},
        {"sys/devices/system/cpu/online": "0-1"},
        {".dockerenv": ""},
        {"dev/apex_0": ""},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_lasts_makes_another_class(tmp_path: Path, lasting: dict[str, str]) -> None:
    root = raspberry_pi_4(tmp_path)
    digest = class_digest(machine_class(None, root, arch="aarch64"))
    write(root, lasting)
    assert class_digest(machine_class(None, root, arch="aarch64")) != digest


def test_two_machines_of_one_class_are_two_instances(tmp_path: Path) -> None:
    one, other = raspberry_pi_4(tmp_path / "one"), raspberry_pi_4(tmp_path / "other")
    write(other, {"etc/machine-id": "0123456789abcdef0123456789abcdef"})
    salt = tmp_path / "salt"
    assert instance_id(salt, one) == instance_id(salt, one) != instance_id(salt, other)
    assert instance_id(tmp_path / "another salt", one) != instance_id(salt, one), "and nobody can link two homes"
    assert CANARY not in instance_id(salt, one)


def test_the_slow_fallback_is_not_called_where_the_kernel_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise AssertionError("py-cpuinfo was asked")

    monkeypatch.setattr(cpu, "_fallback_brand", refuse)
    assert machine_class(None)["cpu"]


def test_nothing_slow_is_imported_on_the_way() -> None:
    code = (
        "import sys; from codereef.detect.machine import machine_class; machine_class(None); "
        "print([m for m in ('cpuinfo', 'distro', 'subprocess', 'psutil', 'platform') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "client")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
