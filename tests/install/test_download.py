# SPDX-License-Identifier: Apache-2.0
"""Downloads: verified, resumable, patient with servers in trouble, and honest about what was tried."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.errors import DownloadError, IntegrityError, StorageError
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.progress import NullProgress
from codereef.store import Store

pytestmark = pytest.mark.slow

Make = Callable[..., RemoteFile]
DATA = os.urandom(300_000)


def skip_or_fail(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must be able to run this")
    pytest.skip(reason)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def nothing_partial(store: Store) -> bool:
    return not list(store.tmp.glob("partial.*")) and not list(store.tmp.glob("blob.*"))


# -- where files come from -----------------------------------------------------------------------------------


def test_a_file_comes_from_its_address_once(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA))
    found = fetch([file, file], store, settings, progress)
    assert found == {file.sha256: store.blob(file.sha256)}
    assert found[file.sha256].read_bytes() == DATA
    assert server.requests == [("/a", "")]
    assert progress.started == [(f"download {file.sha256}", len(DATA), "model.bin")]
    assert progress.moved == {f"download {file.sha256}": len(DATA)}
    assert progress.finished == [f"download {file.sha256}"]
    assert nothing_partial(store)


def test_what_the_store_has_costs_no_request(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA))
    fetch([file], store, settings, NullProgress())
    code = "import sys; from codereef.install.download import *; from codereef.install.progress import NullProgress;"
    code += "from codereef.store import Store; from pathlib import Path;"
    code += f"fetch([RemoteFile('a', {file.sha256!r}, {file.size}, {file.urls!r})], Store(Path({str(store.root)!r})),"
    code += " Settings(), NullProgress()); sys.exit('requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(server.requests) == 1
    assert fetch([file], store, replace(settings, offline=True), progress)[file.sha256].exists()
    assert progress.started == []


def test_an_empty_file_is_a_file(server, store, settings, progress, remote: Make) -> None:
    file = remote(b"", server.put("/empty", b""))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == b""


def test_a_folder_mirror_is_asked_before_any_address(server, store, settings, progress, remote: Make, tmp_path) -> None:
    file = remote(DATA, server.put("/a", DATA))
    (tmp_path / "mirror" / "sha256").mkdir(parents=True)
    (tmp_path / "mirror" / "sha256" / file.sha256).write_bytes(DATA)
    for mirror in (str(tmp_path / "mirror"), (tmp_path / "mirror").as_uri()):
        place = Store(tmp_path / f"store{len(mirror)}")
        found = fetch([file], place, replace(settings, mirrors=(mirror,), offline=True), progress)
        assert found[file.sha256].read_bytes() == DATA
        assert found[file.sha256].stat().st_ino != (tmp_path / "mirror" / "sha256" / file.sha256).stat().st_ino
    assert server.requests == []


def test_an_http_mirror_is_asked_first_and_may_lack_the_file(server, store, settings, progress, remote: Make) -> None:
    file, other = remote(DATA, server.put("/a", DATA)), remote(b"other", server.put("/b", b"other"))
    server.put(f"/m/sha256/{file.sha256}", DATA)
    fetch([file, other], store, replace(settings, mirrors=(server.url + "/m/",), jobs=1), progress)
    assert [path for path, _ in server.requests] == [f"/m/sha256/{file.sha256}", f"/m/sha256/{other.sha256}", "/b"]


def test_a_file_address_is_read_directly(store, settings, progress, remote: Make, tmp_path: Path) -> None:
    (tmp_path / "ä b.bin").write_bytes(DATA)
    file = remote(DATA, (tmp_path / "ä b.bin").as_uri())
    assert fetch([file], store, replace(settings, offline=True), progress)[file.sha256].read_bytes() == DATA


def test_the_next_address_is_tried_where_one_does_not_have_it(server, store, settings, progress, remote: Make) -> None:
    server.put("/short", DATA[:-1])
    file = remote(DATA, server.url + "/gone", server.url + "/short", server.put("/a", DATA))
    fetch([file], store, settings, progress)
    assert [path for path, _ in server.requests] == ["/gone", "/short", "/a"]


def test_the_material_mirror_serves_real_models(mirror, store, settings, progress) -> None:
    names = ["mnist.onnx", "labelmap.txt", "mobilenet_v1_0.25_128_quant.tflite", "cats_and_dogs.jpg", "kws01.tar.gz"]
    paths = [mirror.path(name) for name in names]
    files = [RemoteFile(name, path.name, path.stat().st_size, ()) for name, path in zip(names, paths)]
    found = fetch(files, store, replace(settings, mirrors=(str(mirror.folder),), offline=True), progress)
    assert set(found) == {path.name for path in paths}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == sha256 for sha256, path in found.items())


# -- broken on the way -----------------------------------------------------------------------------------------


def test_a_dropped_connection_resumes_where_it_ended(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("drop", 100_000), ("drop", 100_000), "range"))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert server.requests == [("/a", ""), ("/a", "bytes=100000-"), ("/a", "bytes=200000-")]
    assert progress.moved[f"download {file.sha256}"] == len(DATA)
    assert len(progress.notes) == 2


def test_a_server_without_ranges_starts_over(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("drop", 100_000), "plain"))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert progress.moved[f"download {file.sha256}"] == len(DATA)


def test_a_wrong_content_range_is_refused(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("drop", 100_000), "wrong-range"))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert server.requests == [("/a", ""), ("/a", "bytes=100000-"), ("/a", "")]
    assert "Content-Range" in progress.notes[1]


def test_what_came_survives_failure_and_is_not_fetched_again(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("drop", 250_000), "500"))
    with pytest.raises(DownloadError):
        fetch([file], store, replace(settings, retries=1), progress)
    assert size_of(store.partial(file.sha256)) == 250_000
    server.put("/a", DATA)
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert server.requests[-1] == ("/a", "bytes=250000-")


@pytest.mark.parametrize("status", ["500", "503", "429", "408"])
def test_a_server_in_trouble_is_asked_again(server, store, settings, progress, remote: Make, status: str) -> None:
    file = remote(DATA, server.put("/a", DATA, status, status, "range"))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert len(server.requests) == 3


def test_a_stalled_connection_times_out_and_resumes(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("stall", 100_000), "range"))
    started = time.monotonic()
    assert fetch([file], store, replace(settings, timeout=0.3), progress)[file.sha256].read_bytes() == DATA
    assert time.monotonic() - started < 5
    assert server.requests[-1][1].startswith("bytes=")


def test_an_endless_answer_is_cut_at_the_size(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, "longer"))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    # The rest that the server could send lay in buffers of the kernel when the client hung up.
    until(lambda: server.running == 0)
    assert server.sent < len(DATA) + 30_000_000


# -- wrong bytes -------------------------------------------------------------------------------------------------


def test_a_corrupt_download_is_refused_and_forgotten(server, store, settings, progress, remote: Make) -> None:
    url = server.put("/a", DATA, "corrupt")
    file = remote(DATA, url.replace("http://", "http://user:pa55word@") + "?token=s3cret")
    server.files["/a?token=s3cret"], server.acts["/a?token=s3cret"] = DATA, [("corrupt", 0)]
    with pytest.raises(IntegrityError) as caught:
        fetch([file], store, settings, progress)
    wrong = hashlib.sha256(DATA[:-1] + bytes([DATA[-1] ^ 1])).hexdigest()
    error = caught.value
    for part in ("model.bin", url, file.sha256, wrong):
        assert part in error.message or part.replace("http://", "http://***@") in error.message
    assert "pa55word" not in json.dumps(error.as_dict())
    assert "s3cret" not in json.dumps(error.as_dict())
    assert error.exit_code == 8
    assert store.blob(file.sha256) is None
    assert nothing_partial(store)
    server.files["/a?token=s3cret"], server.acts["/a?token=s3cret"] = DATA, [("range", 0)]
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA


def test_after_a_corrupt_address_the_next_one_is_tried(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/bad", DATA, "corrupt"), server.put("/good", DATA))
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA


def test_a_corrupt_mirror_does_not_stop_the_address(server, store, settings, progress, remote: Make, tmp_path) -> None:
    file = remote(DATA, server.put("/a", DATA))
    (tmp_path / "m" / "sha256").mkdir(parents=True)
    (tmp_path / "m" / "sha256" / file.sha256).write_bytes(b"\0" * len(DATA))
    mirrors = (str(tmp_path / "m"),)
    assert fetch([file], store, replace(settings, mirrors=mirrors), progress)[file.sha256].read_bytes() == DATA
    with pytest.raises(IntegrityError, match="sha256"):
        fetch([replace(file, urls=())], Store(tmp_path / "s2"), replace(settings, mirrors=mirrors), progress)


def test_wrong_bytes_of_an_earlier_try_do_not_spoil_the_next(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA))
    store.prepare()
    store.partial(file.sha256).write_bytes(b"\0" * 1000)
    with pytest.raises(IntegrityError):
        fetch([file], store, settings, progress)
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    other = remote(DATA[:50_000], server.put("/b", DATA[:50_000]))
    for wrong in (b"\0" * other.size, b"\0" * (other.size + 1)):
        store.partial(other.sha256).write_bytes(wrong)
        path = fetch([other], store, settings, progress)[other.sha256]
        assert path.read_bytes() == DATA[:50_000]
        path.unlink()


# -- no network ----------------------------------------------------------------------------------------------------


def test_offline_says_what_is_missing_and_what_to_do(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA))
    with pytest.raises(DownloadError) as caught:
        fetch([file], store, replace(settings, offline=True), progress)
    assert "model.bin" in caught.value.message
    assert server.url + "/a" in caught.value.message
    assert "CR_MIRROR" in caught.value.hint
    assert "`mirrors`" in caught.value.hint
    assert server.requests == []


def test_a_dead_host_is_told_after_the_tries(store, settings, progress, remote: Make, unused_port: int) -> None:
    file = remote(DATA, f"http://127.0.0.1:{unused_port}/a")
    with pytest.raises(DownloadError) as caught:
        fetch([file], store, settings, progress)
    assert caught.value.message.count(f"127.0.0.1:{unused_port}/a: the connection failed (Connection refused)") == 3
    assert caught.value.exit_code == 7


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("url", ["http://[/x", "http://127.0.0.1:abc/x", "file://[/x"])
def test_an_address_that_nobody_can_read_is_told(store, settings, progress, url: str) -> None:
    with pytest.raises(DownloadError, match="could not be fetched"):
        fetch([RemoteFile("x", "0" * 64, 3, (url,))], store, settings, progress)


def test_a_file_without_address_asks_for_a_mirror(store, settings, progress, remote: Make) -> None:
    file = remote(DATA, origin="trained by train.py")
    with pytest.raises(DownloadError, match=r"trained by train\.py") as caught:
        fetch([file], store, settings, progress)
    assert f"sha256/{file.sha256}" in caught.value.hint


# -- together ------------------------------------------------------------------------------------------------------


def test_many_files_come_in_parallel_but_a_host_is_not_overrun(server, store, settings, progress, remote: Make) -> None:
    datas = [bytes([n]) * 20_000 for n in range(12)]
    files = [remote(data, server.put(f"/{n}", data, ("slow", 2_000))) for n, data in enumerate(datas)]
    found = fetch(files, store, replace(settings, jobs=12), progress)
    assert [found[file.sha256].read_bytes() for file in files] == datas
    assert 2 <= server.most_running <= 4


CHILD = """
import json, sys
from pathlib import Path
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.progress import NullProgress
from codereef.store import Store
given = json.loads(sys.argv[1])
file = RemoteFile(given["name"], given["sha256"], given["size"], tuple(given["urls"]))
print("go", flush=True)
fetch([file], Store(Path(sys.argv[2])), Settings(), NullProgress())
"""


def child(file: RemoteFile, store: Store) -> subprocess.Popen[str]:
    given = {"name": file.name, "sha256": file.sha256, "size": file.size, "urls": file.urls}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(given), str(store.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_processes_one_fetches_and_the_other_waits(server, store, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("slow", 10_000)))
    processes = [child(file, store) for _ in range(2)]
    assert [process.communicate(timeout=30) and process.returncode for process in processes] == [0, 0]
    assert server.requests == [("/a", "")]
    assert store.blob(file.sha256, file.size) is not None


def test_a_killed_download_resumes(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("slow", 2_000), "range"))
    process = child(file, store)
    until(lambda: size_of(store.partial(file.sha256)) > 20_000)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    kept = size_of(store.partial(file.sha256))
    assert 20_000 < kept < len(DATA)
    assert store.blob(file.sha256) is None
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert server.requests == [("/a", ""), ("/a", f"bytes={kept}-")]
    assert nothing_partial(store)


def test_an_interrupted_download_keeps_what_came(server, store, settings, progress, remote: Make) -> None:
    file = remote(DATA, server.put("/a", DATA, ("slow", 2_000), "range"))
    process = child(file, store)
    until(lambda: size_of(store.partial(file.sha256)) > 20_000)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - started < 4
    assert size_of(store.partial(file.sha256)) > 20_000
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == DATA
    assert server.requests[-1][1].startswith("bytes=")


# -- full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    if os.geteuid() != 0:
        skip_or_fail("only root can mount a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        skip_or_fail(f"mounting a tmpfs failed: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_before_the_first_byte(server, settings, progress, remote: Make, small_disk: Path) -> None:
    data = os.urandom(2_000_000)
    store = Store(small_disk / "store")
    with pytest.raises(StorageError, match=r"model\.bin .* needs 2\.0 MB and .* are free"):
        fetch([remote(data, server.put("/a", data))], store, settings, progress)
    assert server.requests == []


def test_a_disk_that_fills_up_on_the_way_is_told_and_freed(
    server, settings, progress, remote: Make, small_disk: Path
) -> None:
    data = os.urandom(600_000)
    store = Store(small_disk / "store")
    file = remote(data, server.put("/a", data, ("slow", 5_000), "range"))
    ballast = small_disk / "ballast"

    def fill() -> None:
        until(lambda: size_of(store.partial(file.sha256)) > 50_000)
        ballast.write_bytes(b"\0" * 600_000)

    thread = threading.Thread(target=fill)
    thread.start()
    with pytest.raises(StorageError, match="the disk is full") as caught:
        fetch([file], store, settings, progress)
    thread.join(10)
    assert "CR_HOME" in caught.value.hint
    assert nothing_partial(store)
    ballast.unlink()
    assert fetch([file], store, settings, progress)[file.sha256].read_bytes() == data


def test_settings_have_sound_defaults() -> None:
    assert Settings() == Settings(mirrors=(), offline=False, jobs=8, timeout=30.0, retries=4)
