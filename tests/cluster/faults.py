#!/usr/bin/env python3
"""Changes on several servers, one of which dies at each point in turn.

faults.py MOUNT FAULTS KIND POINT...   FAULTS is the directory that BENCHFS_FAULT names

Each change must be done once, whoever dies: the call succeeds, and names, inodes and link counts
are those after it. Prints a line for each point that was reached.
"""

import os
import sys
import time

mount, faults, kind, points = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
COORDINATOR, PARTICIPANT = 1, 2
serial = 0


def rank(path):
    return os.lstat(path).st_ino >> 43


def fresh():
    global serial
    serial += 1
    return f"n{serial}"


def directory(parent, home):
    """A new directory in `parent` that is at home at rank `home`, which its name decides."""
    while True:
        path = f"{parent}/{fresh()}"
        os.mkdir(path)
        if rank(path) == home:
            return path
        os.rmdir(path)


def file(parent):
    path = f"{parent}/{fresh()}"
    with open(path, "w") as out:
        out.write(path)
    return path


def content(path):
    with open(path) as source:
        return source.read()


def expect(fact, text):
    if not fact:
        sys.exit(f"{point}: {text}")


def gone(path):
    return not os.path.lexists(path)


here = directory(mount, COORDINATOR)
there = directory(mount, PARTICIPANT)


def make_directory(arm):
    path = directory(here, PARTICIPANT)
    os.rmdir(path)
    arm()
    os.mkdir(path)
    return lambda: rank(path) == PARTICIPANT and os.listdir(path) == []


def remove_directory(arm):
    path = directory(here, PARTICIPANT)
    arm()
    os.rmdir(path)
    return lambda: gone(path)


def unlink(arm):
    made = file(there)
    other = f"{there}/{fresh()}"
    os.link(made, other)
    path = f"{here}/{fresh()}"
    os.rename(made, path)
    arm()
    os.unlink(path)
    return lambda: gone(path) and os.stat(other).st_nlink == 1 and content(other) == made


def link(arm):
    made = file(there)
    path = f"{here}/{fresh()}"
    arm()
    os.link(made, path)
    return lambda: os.path.samefile(made, path) and os.stat(made).st_nlink == 2


def rename_file(arm):
    made = file(here)
    path = f"{there}/{fresh()}"
    arm()
    os.rename(made, path)
    return lambda: gone(made) and content(path) == made and os.stat(path).st_nlink == 1


def rename_directory(arm):
    made = directory(here, PARTICIPANT)
    inside = file(made)
    path = f"{there}/{fresh()}"
    arm()
    os.rename(made, path)
    return lambda: (gone(made) and content(f"{path}/{os.path.basename(inside)}") == inside and
                    os.path.samefile(f"{path}/..", there))


def replace_file(arm):
    made, path = file(here), file(there)
    arm()
    os.rename(made, path)
    return lambda: gone(made) and content(path) == made


def replace_directory(arm):
    made, path = directory(here, PARTICIPANT), directory(there, PARTICIPANT)
    number = os.stat(made).st_ino
    arm()
    os.rename(made, path)
    return lambda: gone(made) and os.stat(path).st_ino == number


def exchange(arm):
    made, path = file(here), directory(there, PARTICIPANT)
    number = os.stat(path).st_ino
    arm()
    swap(made, path)
    return lambda: os.stat(made).st_ino == number and content(path) == made


def split(arm):
    """Grows a directory until its server, or that of its new part, has died."""
    path = directory(here, COORDINATOR)
    arm()
    made = []
    deadline = time.monotonic() + 20
    while os.path.exists(armed) and time.monotonic() < deadline:
        made.append(fresh())
        os.mkdir(f"{path}/{made[-1]}")
    made += [fresh() for _ in range(20)]
    for name in made[-20:]:
        os.mkdir(f"{path}/{name}")

    def check():
        listed = sorted(os.listdir(path))
        expect(listed == sorted(made), f"listed {listed}, made {sorted(made)}")
        links = os.stat(path).st_nlink
        expect(links == 2 + len(made), f"{links} links and {len(made)} directories in it")
        return all(os.path.samefile(f"{path}/{name}/..", path) for name in made)

    return check


def swap(a, b):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


for point in points:
    armed = f"{faults}/{point}"

    def arm():
        open(armed, "w").close()

    check = globals()[kind](arm)
    deadline = time.monotonic() + 20
    while os.path.exists(armed):
        expect(time.monotonic() < deadline, "was not reached")
        time.sleep(0.002)
    expect(check(), "the change was not done, or not once")
    for path in (here, there):
        names = os.listdir(path)
        expect(len(names) == len(set(names)), "a name is there twice")
        for name in names:
            expect(not gone(f"{path}/{name}"), f"{name} leads nowhere")
        subdirectories = sum(os.path.isdir(f"{path}/{name}") for name in names)
        expect(os.stat(path).st_nlink == 2 + subdirectories, "the link count is wrong")
    print(point, flush=True)
