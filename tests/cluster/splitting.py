#!/usr/bin/env python3
"""splitting.py DIRECTORY PROCESSES NAMES: processes make, look up and remove names in one directory
while it grows, and is split.

Each process has names of its own: what it made is there at once and until it removes it, what it
removed is gone, and a listing shows once what was there throughout. Shared names are made by all
with O_EXCL: each is won once. Prints what was not so.
"""

import os
import sys

top, processes, names = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def make(path):
    """Whether it was not there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return True
    except FileExistsError:
        return False


def expect(fact, text):
    if not fact:
        print(text, flush=True)
        os._exit(1)


def listed(before, after):
    """A listing has no name twice, and all that were there before and after it."""
    found = os.listdir(top)
    expect(len(found) == len(set(found)), "a name is listed twice")
    missed = (before & after) - set(found)
    expect(not missed, f"{missed} not listed")


def work(number):
    won = 0
    there = set()
    for i in range(names):
        own = f"p{number}-{i}"
        path = f"{top}/{own}"
        expect(make(path), f"{own} was there before it was made")
        expect(os.path.exists(path), f"{own} is not there")
        expect(not make(path), f"{own} was made twice")
        there.add(own)
        won += make(f"{top}/shared-{(i + number * 7) % names}")
        expect(os.path.exists(f"{top}/shared-{(i + number * 7) % names}"), "a shared name is missing")
        if i % 3 == 0:
            other = f"{top}/d{number}-{i}"
            os.mkdir(other)
            os.rename(path, f"{other}/moved")
            expect(not os.path.exists(path), f"{own} is there after it was moved")
            os.rename(f"{other}/moved", path)
            os.rmdir(other)
        if i % 4 == 0:
            os.unlink(path)
            there.discard(own)
            expect(not os.path.exists(path), f"{own} is there after it was removed")
        if i % 50 == 49:
            listed(there, there)
    return won


pipes = []
for number in range(processes):
    read, write = os.pipe()
    if os.fork() == 0:
        won = work(number)
        os.write(write, b"%d" % won)
        os._exit(0)
    os.close(write)
    pipes.append(read)
codes = [os.wait()[1] for _ in pipes]
expect(not any(codes), f"a process failed: {codes}")
won = sum(int(os.read(pipe, 20)) for pipe in pipes)
expect(won == names, f"{won} of {names} shared names were won")
wanted = {f"shared-{i}" for i in range(names)}
wanted |= {f"p{p}-{i}" for p in range(processes) for i in range(names) if i % 4 != 0}
found = os.listdir(top)
expect(sorted(found) == sorted(wanted), "what is listed at the end is not what was left")
print(f"{len(found)} names")
