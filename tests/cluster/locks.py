# locks.py flock|fcntl COMMAND …: locks in the mount, for cases/locks.sh. Marks are files outside of
# it: MARK.pid is there when the process is about to wait, MARK when it has the lock.
import errno
import fcntl
import os
import signal
import sys

by, command, *rest = sys.argv[1:]


def lock(fd, wait=True, kind=fcntl.LOCK_EX):
    call = fcntl.flock if by == "flock" else fcntl.lockf
    call(fd, kind if wait or kind == fcntl.LOCK_UN else kind | fcntl.LOCK_NB)


def mark(name, text=""):
    with open(name + ".new", "w") as file:
        file.write(text)
    os.rename(name + ".new", name)


def open_file(name):
    return os.open(name, os.O_RDWR | os.O_CREAT)


if command == "count":  # FILE N: adds 1, N times
    fd = open_file(rest[0])
    for _ in range(int(rest[1])):
        lock(fd)
        value = int(os.pread(fd, 20, 0) or b"0") + 1
        os.pwrite(fd, b"%d" % value, 0)
        lock(fd, kind=fcntl.LOCK_UN)
elif command == "hold":  # FILE MARK: takes it and waits for its end
    fd = open_file(rest[0])
    mark(rest[1] + ".pid", str(os.getpid()))
    try:
        lock(fd)
    except OSError as error:
        mark(rest[1], errno.errorcode[error.errno])
        sys.exit()
    mark(rest[1], "granted")
    signal.pause()
elif command == "try":  # FILE: free or taken?
    fd = open_file(rest[0])
    try:
        lock(fd, wait=False)
        print("free")
    except BlockingIOError:
        print("taken")
elif command == "cross":  # FIRST SECOND MARK OTHER_MARK: takes the first, and when both have, the second
    first, second = open_file(rest[0]), open_file(rest[1])
    lock(first)
    mark(rest[2])
    while not os.path.exists(rest[3]):
        os.sched_yield()
    try:
        lock(second)
        print("granted")
    except OSError as error:
        print("EDEADLK" if error.errno == errno.EDEADLK else os.strerror(error.errno))
elif command == "directory":  # RANK: makes a directory at home there, prints its name
    n = 0
    while True:
        name = f"/benchfs/at{rest[0]}.{n}"
        os.makedirs(name, exist_ok=True)
        if os.stat(name).st_ino >> 43 == int(rest[0]):
            print(name)
            break
        n += 1
