# SPDX-License-Identifier: Apache-2.0
"""What is recorded around a measuring phase: counters that wrap, are forbidden or absent, and the real ones."""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from codereef.bench.affinity import affinity
from codereef.bench.collect import Phase, collected, not_available
from codereef.bench.collect.harness import BATCHES, harness_metrics
from codereef.bench.collect.nvml import Nvml
from codereef.bench.collect.phase import Collection
from codereef.bench.collect.rapl import Rapl
from codereef.bench.collect.sizes import runtime_size
from codereef.bench.collect.ticks import Ticks
from codereef.bench.collect.usage import Usage
from codereef.bench.response import Metric, Response

from tests.detect.trees import cloud_container, rapl_server, raspberry_pi_4, write

POWERCAP = "sys/class/powercap"
PHASE = Phase(seconds=2.0, queries=100)


def value(metric: Metric) -> float:
    """The value of a metric that has one."""
    assert metric.value is not None, metric.reason
    return metric.value


def reason(metric: Metric) -> str:
    """The reason of a metric that has no value."""
    assert metric.value is None and metric.reason is not None
    return metric.reason


# RAPL


def rapl(root: Path, after: dict[str, str], phase: Phase = PHASE) -> dict[str, Metric]:
    """Read RAPL before and after `after` is written below powercap."""
    collector = Rapl(root)
    collector.start()
    write(root / POWERCAP, after)
    found = collector.stop(phase)
    assert found.keys() == collector.metrics.keys()
    return found


def test_packages_and_their_memory_are_summed_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    found = rapl(
        rapl_server(tmp_path),
        {
            "intel-rapl:0/energy_uj": "101000000",  # 100 J
            "intel-rapl:1/energy_uj": "52000000",  # 50 J
            "intel-rapl:0:0/energy_uj": "10500000",  # 10 J of memory
            "intel-rapl:0:1/energy_uj": "90000007",  # a part of package 0
            "intel-rapl:2/energy_uj": "900000007",  # the platform, which holds all of them
            "intel-rapl-mmio:0/energy_uj": "100000007",  # package 0 once more
        },
    )
    assert value(found["power_cpu"]) == pytest.approx(80.0)
    assert value(found["energy_cpu"]) == pytest.approx(1.6)
    # Each reading may be 1 ms old: 80 W for 1 ms at either end.
    assert found["energy_cpu"].interval == pytest.approx((1.6 - 0.0008, 1.6 + 0.0008))
    assert found["energy_cpu"].confidence is None and "not a confidence interval" in found["energy_cpu"].method
    assert "package-0 + dram + package-1 + dram" in found["energy_cpu"].method
    assert "idle power is not subtracted" in found["power_cpu"].method


def test_a_counter_that_starts_again_is_followed(tmp_path: Path) -> None:
    root = rapl_server(tmp_path)
    write(root / POWERCAP, {"intel-rapl:0/energy_uj": "262143328849"})
    found = rapl(root, {"intel-rapl:0/energy_uj": "59999999"})
    assert value(found["power_cpu"]) == pytest.approx(30.0, abs=1e-6)


def test_a_counter_that_may_have_started_again_twice_gives_no_number(tmp_path: Path) -> None:
    root = rapl_server(tmp_path)
    # The package's limit is 205 W: twice that fills its 262 kJ in 639 s; the memory says no limit, 65.7 kJ at 1,500 W.
    assert value(rapl(root, {"intel-rapl:0/energy_uj": "2000000"}, Phase(43.0, 1))["power_cpu"]) > 0
    found = rapl(root, {"intel-rapl:0/energy_uj": "3000000"}, Phase(44.0, 1))
    assert "dram may have started again more than once in 44 s" in reason(found["energy_cpu"])


def test_a_counter_that_goes_back_without_a_range_gives_no_number(tmp_path: Path) -> None:
    root = rapl_server(tmp_path)
    (root / POWERCAP / "intel-rapl:1/max_energy_range_uj").unlink()
    assert "does not say where" in reason(rapl(root, {"intel-rapl:1/energy_uj": "1"})["power_cpu"])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "no powercap interface"),
        ({f"{POWERCAP}/dtpm/enabled": "1"}, "no domain of a processor package"),
        ({f"{POWERCAP}/intel-rapl:0/name": "package-0"}, "cannot be read"),
        ({f"{POWERCAP}/intel-rapl:0/name": "package-0", f"{POWERCAP}/intel-rapl:0/energy_uj": "x"}, "cannot be read"),
    ],
)
def test_energy_that_is_not_told_is_never_zero(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = rapl(write(tmp_path, files), {})
    for metric in found.values():
        assert reason(metric).startswith("not available: ") and expected in reason(metric)
        assert metric.interval is None and metric.samples == 0


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that another user may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_energy_that_only_root_may_read_says_so(readable_folder: Path) -> None:
    root = rapl_server(readable_folder)
    for file in (root / POWERCAP).glob("*/energy_uj"):
        file.chmod(0o400)
    collector = Rapl(root)
    if os.geteuid() == 0:  # root may read everything; become somebody else for this one reading
        os.seteuid(65534)
        try:
            collector.start()
        finally:
            os.seteuid(0)
    else:
        for file in (root / POWERCAP).glob("*/energy_uj"):
            file.chmod(0o000)
        collector.start()
    assert "permission denied" in reason(collector.stop(PHASE)["energy_cpu"])


def test_a_phase_whose_queries_nobody_counted_has_a_power_and_no_energy_of_a_query(tmp_path: Path) -> None:
    found = rapl(rapl_server(tmp_path), {"intel-rapl:0/energy_uj": "3000000"}, Phase(2.0, 0))
    assert value(found["power_cpu"]) == pytest.approx(1.0)
    assert reason(found["energy_cpu"]) == "not available: no query was counted"


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux")
def test_this_machine_tells_its_energy_or_why_not() -> None:
    collector = Rapl()
    collector.start()
    time.sleep(0.05)
    for metric in collector.stop(Phase(0.05, 1)).values():
        assert (metric.value is not None and metric.value > 0) or reason(metric).startswith("not available: ")


# NVML


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that acts as the driver's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_double.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


def gpu(library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mood: str = "well") -> dict[str, Metric]:
    """Read the double; each call gets a copy of its own, for the loader keeps one library's counters."""
    copy = tmp_path / f"{mood}.so"
    shutil.copy(library, copy)
    monkeypatch.setenv("NVML_DOUBLE", mood)
    collector = Nvml(["CUDAExecutionProvider", "CPUExecutionProvider"], str(copy))
    collector.start()
    found = collector.stop(PHASE)
    assert found.keys() == collector.metrics.keys()
    return found


def test_energy_and_memory_of_gpus_are_read_by_ctypes(
    nvml: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = gpu(nvml, monkeypatch, tmp_path)
    assert value(found["power_gpu"]) == pytest.approx(150.0)  # two of 150 J in 2 s
    assert value(found["energy_gpu"]) == pytest.approx(3.0)
    assert found["power_gpu"].interval == pytest.approx((142.5, 157.5))
    assert "2 GPUs" in found["power_gpu"].method
    assert value(found["device_memory"]) == 80
    assert "this process" in found["device_memory"].method


@pytest.mark.parametrize("mood", ["strangers", "unknown", "no-processes"])
def test_memory_of_the_whole_gpu_stands_in_where_no_process_is_told(
    nvml: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mood: str
) -> None:
    found = gpu(nvml, monkeypatch, tmp_path, mood)
    assert value(found["device_memory"]) == 600
    assert "all processes" in found["device_memory"].method


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("no-driver", "NVML's nvmlInit_v2 said: Driver Not Loaded (9)"),
        ("none", "NVML sees no GPU"),
        ("no-counter", "this GPU has no energy counter"),
        ("backwards", "went backwards"),
    ],
)
def test_a_driver_that_refuses_is_quoted(
    nvml: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mood: str, expected: str
) -> None:
    assert expected in reason(gpu(nvml, monkeypatch, tmp_path, mood)["energy_gpu"])


def test_without_a_driver_or_on_the_processor_the_reason_says_it(tmp_path: Path) -> None:
    for providers, library, expected in (
        (["CUDAExecutionProvider"], str(tmp_path / "none.so"), "no NVIDIA driver is installed"),
        (["CPUExecutionProvider"], "never opened", "executes on no NVIDIA GPU (on CPUExecutionProvider)"),
        ([], "never opened", "(on the processor)"),
    ):
        collector = Nvml(providers, library)
        collector.start()
        assert expected in reason(collector.stop(PHASE)["device_memory"])


def test_an_old_library_is_named_by_what_it_lacks(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path / "old.so"
    subprocess.run([compiler, "-shared", "-o", str(library), "-xc", "-"], input="int old;", text=True, check=True)
    collector = Nvml(["CUDAExecutionProvider"], str(library))
    collector.start()
    assert "its NVML has no nvmlInit_v2" in reason(collector.stop(PHASE)["energy_gpu"])


# The process and the machine


def _burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_processor_time_switches_and_faults_are_those_of_the_phase() -> None:
    _burn(0.05)
    usage = Usage()
    usage.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    _burn(0.2)
    for _ in range(5):
        time.sleep(0.001)
    # Memory that no earlier test can have left mapped: its pages are there only once they are touched.
    with mmap.mmap(-1, 8 * 1024 * 1024) as touched:
        for page in range(0, len(touched), mmap.PAGESIZE):
            touched[page] = 1
        found = usage.stop(Phase(0.3, 10))
    # Threads that libraries of other tests have left may count too; far from what the process took before.
    assert 0.2 <= value(found["cpu_user"]) + value(found["cpu_system"]) < 1.0
    assert value(found["cpu_time"]) == pytest.approx(
        (value(found["cpu_user"]) + value(found["cpu_system"])) / 10, rel=1e-9
    )
    slept = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
    assert 5 <= value(found["switches_voluntary"]) <= slept
    assert value(found["page_faults_minor"]) >= 1
    assert value(found["page_faults_major"]) >= 0 and value(found["switches_involuntary"]) >= 0


def test_stolen_time_of_a_container_is_that_of_the_phase_alone(tmp_path: Path) -> None:
    root = cloud_container(tmp_path)
    cpus = "".join(f"cpu{n} 1 0 0 0 0 0 0 0 0 0\n" for n in range(4))
    write(root, {"proc/stat": "cpu  1000 0 500 90000 100 0 10 300 0 0\n" + cpus})
    ticks = Ticks(root)
    ticks.start()
    # 400 ticks: 180 busy, 200 idle, 20 stolen; the wait for disks went backwards.
    write(root, {"proc/stat": "cpu  1150 0 520 90200 90 0 20 320 0 0\n" + cpus})
    found = ticks.stop(PHASE)
    assert value(found["steal"]) == pytest.approx(0.05)
    assert found["steal"].interval == pytest.approx((19 / 400, 21 / 400))
    assert value(found["machine_busy"]) == pytest.approx(180 / 400 * 4)


def test_ticks_that_are_too_few_or_not_told_give_no_share(tmp_path: Path) -> None:
    root = raspberry_pi_4(tmp_path / "pi")
    write(root, {"proc/stat": "cpu  1000 0 500 90000 100 0 10 0 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n"})
    ticks = Ticks(root)
    ticks.start()
    write(root, {"proc/stat": "cpu  1010 0 500 90010 100 0 10 0 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n"})
    assert "20 ticks of the processors, too few" in reason(ticks.stop(PHASE)["steal"])
    nothing = Ticks(tmp_path / "empty")
    nothing.start()
    assert "cannot be read" in reason(nothing.stop(PHASE)["machine_busy"])


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux")
def test_this_machine_is_at_least_as_busy_as_this_process() -> None:
    ticks = Ticks()
    ticks.start()
    begin = time.monotonic()
    cpu = time.process_time()
    while time.monotonic() < begin + 0.8:
        pass
    busy, seconds = time.process_time() - cpu, time.monotonic() - begin
    found = ticks.stop(Phase(seconds, 1))
    cpus = os.cpu_count() or 1
    assert 0.7 * busy / seconds <= value(found["machine_busy"]) <= cpus
    assert 0 <= value(found["steal"]) < 1


def test_the_size_of_a_runtime_is_that_of_its_files() -> None:
    found = runtime_size("numpy")["runtime_size"]
    import numpy

    package = Path(numpy.__file__).parent
    native = sum(file.stat().st_size for file in package.rglob("*.so"))
    assert value(found) > native > 1e6
    assert "no distribution nothing-like-it is installed" in reason(runtime_size("nothing-like-it")["runtime_size"])


def test_a_distribution_counts_what_is_there_and_says_when_it_lists_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = tmp_path / "engine-1.0.dist-info"
    write(tmp_path, {"engine/core.so": "x" * 99, "engine-1.0.dist-info/METADATA": "Name: engine\nVersion: 1.0"})
    (meta / "RECORD").write_text("engine/core.so,,\nengine/gone.pyc,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = runtime_size("engine")["runtime_size"]
    assert value(found) == 100 and found.method.startswith("1 files")
    (meta / "RECORD").unlink()
    assert "does not list its files" in reason(runtime_size("engine")["runtime_size"])
    (meta / "RECORD").write_text("engine/gone.pyc,,\n")
    assert "none of the files" in reason(runtime_size("engine")["runtime_size"])


# The cost of measuring, and the block


def test_the_cost_of_the_harness_is_measured_with_an_interval() -> None:
    metrics = harness_metrics()
    cost, timer = metrics["harness_cost"], metrics["timer_cost"]
    assert cost.interval is not None and cost.interval[0] <= value(cost) <= cost.interval[1]
    assert cost.samples == BATCHES and cost.confidence == pytest.approx(1 - 2 / 2**BATCHES)
    # A Python loop with two clock readings and a call: no machine does it in 10 ns.
    assert 1e-8 < value(timer) < value(cost) < 1e-4


def test_a_slower_core_is_seen_in_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    from codereef.bench.collect import harness

    quick = value(harness_metrics()["harness_cost"])
    monkeypatch.setattr(harness, "_nothing", lambda feed: sum(range(2000)))
    assert value(harness_metrics()["harness_cost"]) > 3 * quick


def test_the_block_records_everything_around_the_load(tmp_path: Path) -> None:
    response = Response(runtime={"providers": ["CPUExecutionProvider"]})
    before = time.monotonic()
    with collected(response, root=rapl_server(tmp_path)) as collection:
        _burn(0.05)
        collection.queries = 5
    assert response.phase is not None
    begin, end = response.phase["begin"], response.phase["end"]
    assert isinstance(begin, float) and isinstance(end, float)
    assert before < begin < end < time.monotonic() and end - begin >= 0.05
    assert response.phase["queries"] == 5
    names = set(response.metrics)
    assert {"harness_cost", "cpu_time", "steal", "energy_cpu", "energy_gpu", "device_memory"} <= names
    assert value(response.metrics["cpu_time"]) >= 0.01
    assert value(response.metrics["power_cpu"]) == 0.0, "the written counters stood still"
    assert response.as_dict()["phase"] == response.phase


def test_what_others_took_meanwhile_is_no_number_of_this_process(tmp_path: Path) -> None:
    response = Response(runtime={"providers": ["CPUExecutionProvider"]})
    with collected(response, turns=True, root=rapl_server(tmp_path)) as collection:
        _burn(0.2)
        collection.queries, collection.unrecorded = 5, 15
    assert response.phase is not None and response.phase["shared"] is True
    for name in ("energy_cpu", "power_cpu", "energy_gpu", "machine_busy", "steal"):
        assert response.metrics[name].value is None and "measured in turns" in str(response.metrics[name].reason)
    # All queries took processor time, whether or not they are samples.
    assert value(response.metrics["cpu_time"]) == pytest.approx(0.01, rel=0.5)
    assert response.phase["queries"] == 5


def test_a_load_that_fails_leaves_no_numbers_of_a_phase() -> None:
    response = Response()
    with pytest.raises(KeyboardInterrupt), collected(response, harness=False):
        raise KeyboardInterrupt
    assert response.phase is None and response.metrics == {}


def test_a_source_that_breaks_costs_its_own_numbers_only() -> None:
    class Broken:
        metrics = {"odd": ("s", "lower")}

        def __init__(self, where: str) -> None:
            self.where = where

        def start(self) -> None:
            if self.where == "start":
                raise ValueError("cannot begin")

        def stop(self, phase: Phase) -> dict[str, Metric]:
            raise ValueError("cannot end")

    for where, expected in (("start", "cannot begin"), ("stop", "cannot end")):
        response = Response()
        with Collection(response, [Broken(where), Usage()], harness=False) as collection:
            collection.queries = 1
        assert expected in reason(response.metrics["odd"])
        assert value(response.metrics["cpu_time"]) >= 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_the_affinity_is_what_the_kernel_says() -> None:
    told = next(
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("Cpus_allowed_list")
    )
    assert affinity() == told


def test_ranges_of_processors_are_written_as_the_kernel_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 8, 9}, raising=False)
    assert affinity() == "0-2,5,8-9"


def test_the_block_needs_nothing_but_numpy() -> None:
    code = (
        "import sys;sys.path.insert(0,sys.argv[1])\n"
        "from codereef.bench.collect import collected\nfrom codereef.bench.response import Response\n"
        "with collected(Response()) as c: c.queries = 1\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('onnxruntime', 'PIL', 'psutil', 'requests')])\n"
    )
    root = Path(__file__).resolve().parents[2] / "client"
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_not_available_keeps_unit_and_direction() -> None:
    metric = not_available({"x": ("J", "lower")}, "no such thing")["x"]
    assert (metric.unit, metric.direction, metric.reason) == ("J", "lower", "not available: no such thing")
