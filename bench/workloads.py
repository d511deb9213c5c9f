"""What is measured: fio jobs, the metadata loop, idle servers, a start."""

import json
import os
import shutil
import statistics
import subprocess
import time

import servers
from report import progress

NAMES = ("sequential", "random", "metadata", "idle", "start")
RANDOM_FILES = 64
IDLE_CLIENTS = 64
REMOVAL_TIMEOUT_S = 60

# The buffer is aligned because the kernel copies from some addresses at half the speed, and where
# fio's own lies depends on how long the names of its files are.
FIO_OPTIONS = ("--ioengine=psync", "--invalidate=0", "--fallocate=none", "--group_reporting",
               "--iomem_align=4096")

# The least ratio of BenchFS to the plain directory, by how the metric's name begins.
GOALS = {"seq": 0.9, "rand": 0.7, "create": 0.3, "stat": 0.5, "unlink": 0.3}
IDLE_CPU_PERCENT_MAX = 0.05  # what rounds to 0.0 %
IDLE_RSS_MIB_MAX = 40
START_SECONDS_MAX = 0.3


def goal_of(metric):
    return next(goal for prefix, goal in GOALS.items() if metric.startswith(prefix))


class Side:
    """One of the two: where its files are, the environment its programs need, and, for BenchFS,
    where its chunks lie."""

    def __init__(self, name, root, environment, data=None):
        self.name = name
        self.root = root
        self.environment = environment
        self.data = data

    def run(self, *command):
        return servers.run([str(part) for part in command], self.environment)

    def remove(self, *names):
        """Returns when the bytes are gone: removal goes on in the background."""
        self.run("rm", "-rf", "--", *[self.root / name for name in names])
        if self.data is None:
            return
        deadline = time.monotonic() + REMOVAL_TIMEOUT_S
        while any(self.data.glob("rank_*/chunks/*")):
            if time.monotonic() > deadline:
                raise servers.Failure("chunks of removed files stay")
            time.sleep(0.005)


class Fio:
    unit = ""

    def __init__(self, arguments):
        self.jobs = arguments.jobs
        self.flush = [] if is_memory(arguments.device) else ["--end_fsync=1"]

    def fio(self, side, *options):
        output = side.run("fio", "--output-format=json", *FIO_OPTIONS, f"--directory={side.root}",
                          *options)
        # fio may say something in front of its JSON.
        return json.loads(output[output.index("{"):])["jobs"][0]

    def prepare(self, side):
        pass

    def clean(self, side):
        pass


class Sequential(Fio):
    """New files are written, then read. No file is made beforehand: it grows as it is written."""
    group = "sequential"
    unit = "MiB/s"

    def __init__(self, arguments, shared):
        super().__init__(arguments)
        self.shared = shared
        self.name = "seq shared" if shared else "seq per-process"
        self.bytes = max(1 << 20, arguments.sequential_bytes // self.jobs)

    def measure(self, side):
        common = ["--name=seq", "--bs=1m", f"--size={self.bytes}", f"--numjobs={self.jobs}"]
        if self.shared:
            names = ["seq.shared"]
            common += ["--filename=seq.shared", f"--offset_increment={self.bytes}"]
        else:
            names = [f"seq.{job}" for job in range(self.jobs)]
            common += ["--filename_format=seq.$jobnum"]
        write = self.fio(side, *common, "--rw=write", "--create_on_open=1", *self.flush)
        read = self.fio(side, *common, "--rw=read")
        side.remove(*names)
        return {f"{self.name} write": write["write"]["bw_bytes"] / (1 << 20),
                f"{self.name} read": read["read"]["bw_bytes"] / (1 << 20)}


class Random(Fio):
    """4 KiB anywhere in 64 files that are written once; the file is drawn for each request."""
    group = "random"
    unit = "IOPS"
    name = "rand"

    def __init__(self, arguments):
        super().__init__(arguments)
        self.file_bytes = max(1 << 20, arguments.random_bytes // RANDOM_FILES)
        self.seconds = arguments.random_seconds
        self.names = [f"rand.{number}" for number in range(RANDOM_FILES)]

    def prepare(self, side):
        progress(f"rand: writing {RANDOM_FILES} files ({side.name})")
        self.fio(side, "--name=make", "--rw=write", "--bs=1m", f"--filesize={self.file_bytes}",
                 "--filename=" + ":".join(self.names), "--file_service_type=sequential",
                 "--create_on_open=1", *self.flush)

    def clean(self, side):
        side.remove(*self.names)

    def measure(self, side):
        result = {}
        for shared in (False, True):
            for direction in ("read", "write"):
                job = self.fio(side, *self.sections(shared, direction))
                label = "shared" if shared else "per-process"
                result[f"rand {label} {direction}"] = job[direction]["iops"]
        return result

    def sections(self, shared, direction):
        options = []
        for job in range(self.jobs):
            names = self.names if shared else self.names[job::self.jobs]
            # Options hold for the section they follow, so each job has all of them.
            options += [f"--name=job{job}", f"--rw=rand{direction}", "--bs=4k", "--time_based",
                        f"--runtime={self.seconds}", "--norandommap", f"--randseed={job + 1}",
                        f"--filesize={self.file_bytes}", "--filename=" + ":".join(names),
                        "--file_service_type=random", "--allow_file_create=0", "--overwrite=1",
                        *FIO_OPTIONS]
        return options


class Metadata:
    group = "metadata"
    unit = "1/s"

    def __init__(self, arguments, processes):
        self.processes = processes
        self.files = arguments.files
        self.program = arguments.build.resolve() / "bin/benchfs_metaloop"
        self.name = f"metadata {processes}"

    def prepare(self, side):
        side.run("mkdir", side.root / "meta")

    def clean(self, side):
        side.run("rmdir", side.root / "meta")

    def measure(self, side):
        rates = json.loads(side.run(self.program, "run", side.root / "meta", self.processes,
                                    self.files))
        return {f"{phase} {self.processes}": rates[phase] for phase in ("create", "stat", "unlink")}


def comparisons(arguments):
    return [Sequential(arguments, shared=False), Sequential(arguments, shared=True),
            *[Metadata(arguments, processes) for processes in (1, 2, 4)], Random(arguments)]


def is_memory(device):
    return subprocess.run(["stat", "-f", "-c", "%T", "--", str(device)], text=True,
                          stdout=subprocess.PIPE, check=False).stdout.strip() in ("tmpfs", "ramfs")


def threads(pids):
    """Nanoseconds on a core and context switches of each thread."""
    result = {}
    for pid, _ in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            place = f"/proc/{pid}/task/{thread}"
            try:
                with open(f"{place}/schedstat", encoding="utf-8") as file:
                    nanoseconds = int(file.read().split()[0])
                with open(f"{place}/status", encoding="utf-8") as file:
                    switches = sum(int(line.split()[1]) for line in file if "ctxt_sw" in line)
            except FileNotFoundError:  # one of the start that has just ended
                continue
            result[pid, thread] = nanoseconds, switches
    return result


def memory_mib(pid):
    """VmRSS and its parts."""
    parts = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("VmRSS", "Rss")):
                key, value = line.split(":")
                parts[key] = int(value.split()[0]) / 1024
    return parts


def measure_idle(arguments, running, side):
    """Clients that are connected and have files open, and ask for nothing."""
    side.run("mkdir", side.root / "idle")
    program = arguments.build.resolve() / "bin/benchfs_metaloop"
    holder = subprocess.Popen([str(program), "hold", str(side.root / "idle"), str(IDLE_CLIENTS)],
                              env=side.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        if holder.stdout.readline().strip() != "holding":
            raise servers.Failure("idle clients: " + holder.stderr.read().strip())
        pids = running.pids()
        time.sleep(1)  # what the connecting left to do is not what idling costs
        before = threads(pids)
        began = time.monotonic()
        progress(f"idle: {IDLE_CLIENTS} clients, {arguments.idle_seconds} s")
        time.sleep(arguments.idle_seconds)
        seconds = time.monotonic() - began
        after = threads(pids)
        memory = [memory_mib(pid) for pid, _ in pids]
        holder.communicate(timeout=servers.END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise servers.Failure("idle clients did not end") from None
    finally:
        if holder.returncode is None:
            servers.end_group(holder)
    side.remove("idle")
    nanoseconds, switches = (sum(after[thread][part] - before.get(thread, (0, 0))[part]
                                 for thread in after) for part in (0, 1))
    return {"clients": IDLE_CLIENTS, "seconds": seconds, "servers": len(pids),
            "cpu_percent": 100e-9 * nanoseconds / seconds,
            "switches_per_second": switches / seconds,
            "rss_mib": max(parts.get("VmRSS", 0) for parts in memory), "memory": memory,
            "goal_cpu_percent": IDLE_CPU_PERCENT_MAX, "goal_rss_mib": IDLE_RSS_MIB_MAX}


def measure_start(arguments, work):
    """Until ready, beyond what mpirun takes for a program that does nothing."""
    nothing, ready = [], []
    for pair in range(arguments.pairs):
        began = time.monotonic()
        servers.run(servers.mpirun(1) + ["true"], servers.launcher_environment())
        nothing.append(time.monotonic() - began)
        place = work / f"start{pair}"
        with servers.Servers(arguments, place, ranks=1) as started:
            ready.append(time.monotonic() - started.started)
        shutil.rmtree(place)
        progress(f"start: pair {pair + 1} of {arguments.pairs}")
    beyond = [r - n for n, r in zip(nothing, ready)]
    return {"mpirun_true": nothing, "ready": ready, "median_beyond": statistics.median(beyond),
            "goal": START_SECONDS_MAX}
