"""Where a run was made: what its numbers depend on."""

import os
import platform
import subprocess


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.splitlines()
    return lines[0] if lines else "unknown"


def memory_kib(key):
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def bytes_free(device):
    """Of the device, and not more than there is memory: tmpfs promises more than it has."""
    space = os.statvfs(device)
    free = space.f_bavail * space.f_frsize
    if file_system(device) == "tmpfs":
        free = min(free, memory_kib("MemAvailable") << 10)
    return free


def file_system(device):
    return first_line("stat", "-f", "-c", "%T", "--", str(device))


def describe(arguments, load_max):
    load = os.getloadavg()
    settings = {key: value for key, value in os.environ.items() if key.startswith("BENCHFS_")}
    return {
        "valid": load[0] <= load_max, "load_average": load, "load_max": load_max,
        "kernel": platform.release(), "processor": processor(), "cores": os.cpu_count(),
        "memory_mib": memory_kib("MemTotal") >> 10, "device": str(arguments.device),
        "file_system": file_system(arguments.device),
        "mount": first_line("findmnt", "-n", "-o", "TARGET,FSTYPE,OPTIONS", "-T",
                            str(arguments.device)),
        "versions": {
            "benchfs": first_line(str(arguments.build / "bin/benchfsd_mpi"), "--version"),
            "fio": first_line("fio", "--version"), "mpirun": first_line("mpirun", "--version"),
            "python": platform.python_version()},
        "settings": settings, "ranks": arguments.ranks, "jobs": arguments.jobs,
        "pairs": arguments.pairs, "quick": arguments.quick,
        "sequential_bytes": arguments.sequential_bytes, "random_bytes": arguments.random_bytes,
        "files": arguments.files}
