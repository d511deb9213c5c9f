"""Starting programs and servers, and ending exactly those."""

import os
import signal
import subprocess
import time

MOUNT = "/benchfs"
START_TIMEOUT_S = 60
END_TIMEOUT_S = 15
PROGRAM_TIMEOUT_S = 900


class Failure(Exception):
    """One line for the user."""


def check_build(build):
    needed = ["bin/benchfsd_mpi", "bin/benchfs_metaloop", "lib/libbenchfs_preload.so"]
    for name in needed:
        if not (build / name).exists():
            raise Failure(f"{build / name} is missing: build first (cmake --build {build})")


def end_group(process):
    """Ends a process we started in a session of its own, and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(command, environment, cwd=None):
    """The output of a program that must succeed."""
    process = subprocess.Popen(command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        output, errors = process.communicate(timeout=PROGRAM_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Failure(f"{command[0]} did not end within {PROGRAM_TIMEOUT_S} s") from None
    finally:
        if process.returncode is None:
            end_group(process)
    if process.returncode != 0:
        lines = (errors or output).strip().splitlines()
        raise Failure(f"{' '.join(command[:3])} … ended with {process.returncode}: " +
                      " | ".join(lines[-3:]))
    return output


def mpirun(count):
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(count)]


def launcher_environment(**more):
    """One machine: no remote shell, no other interface than the loopback."""
    environment = dict(os.environ, OMPI_MCA_plm="isolated", OMPI_MCA_oob_tcp_if_include="lo")
    if not any(name in environment for name in ("UCX_TLS", "BENCHFS_UCX_TLS", "UCX_NET_DEVICES")):
        environment.setdefault("BENCHFS_UCX_NET_DEVICES", "lo")
    if os.geteuid() == 0:
        environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return environment | more


class Servers:
    """Servers with a registry and a data directory of their own below `place`."""

    def __init__(self, arguments, place, ranks=None):
        self.build = arguments.build
        self.ranks = ranks or arguments.ranks
        self.place = place
        self.registry = place / "registry"
        self.data = place / "data"
        self.process = None
        self.started = 0.0

    def __enter__(self):
        self.place.mkdir(mode=0o700)
        self.registry.mkdir(mode=0o700)
        self.data.mkdir(mode=0o700)
        environment = launcher_environment(BENCHFS_STORAGE_DATA_DIR=str(self.data))
        self.started = time.monotonic()
        with open(self.place / "log", "w", encoding="utf-8") as log:
            # In the place, so that no benchfs.conf of the caller's directory is read.
            self.process = subprocess.Popen(
                mpirun(self.ranks) + [str(self.build.resolve() / "bin/benchfsd_mpi"),
                                      str(self.registry)],
                env=environment, cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        try:
            self.await_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def await_ready(self):
        ready = self.registry / "ready"
        deadline = self.started + START_TIMEOUT_S
        while not ready.exists():
            if self.process.poll() is not None:
                raise Failure(f"servers ended with {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"servers not ready after {START_TIMEOUT_S} s: {self.log_tail()}")
            time.sleep(0.001)  # a file of another program's: nothing tells us of it

    def log_tail(self):
        lines = (self.place / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        return " | ".join([line for line in lines if line][-3:]) or "nothing was said"

    def end(self):
        pids = self.pids() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            end_group(self.process)
        # mpirun may end before its ranks, which need not be of its process group.
        deadline = time.monotonic() + END_TIMEOUT_S
        for pid, started in pids:
            while start_time(pid) == started and time.monotonic() < deadline:
                time.sleep(0.005)
            if start_time(pid) == started:
                os.kill(pid, signal.SIGKILL)

    def pids(self):
        """(pid, start time) of the servers: all descendants of our mpirun."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(int(entry))
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.process.pid]
        while queue:
            for child in children.get(queue.pop(), []):
                queue.append(child)
                found.append((child, start_time(child)))
        return found

    def client_environment(self):
        environment = dict(os.environ, BENCHFS_MOUNT=MOUNT, BENCHFS_LOCAL=str(self.data),
                           BENCHFS_REGISTRY=str(self.registry))
        preload = str(self.build.resolve() / "lib/libbenchfs_preload.so")
        before = environment.get("LD_PRELOAD")
        environment["LD_PRELOAD"] = f"{preload}:{before}" if before else preload
        return environment


def stat_fields(pid):
    """Of /proc/<pid>/stat, from the state on; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def start_time(pid):
    fields = stat_fields(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]

