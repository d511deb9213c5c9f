"""acknowledged.py run DIR PROCESSES STOP NOTES: each process makes, writes, reads, renames, links and
removes files below DIR, until the file STOP is there. No call may fail, and none may be done twice.
What was acknowledged then is written to NOTES.

acknowledged.py check DIR NOTES: all of it is there, and nothing else. Prints "all there" or what is
not.
"""

import json
import os
import random
import sys
import zlib


def content(seed, size):
    block = random.Random(seed).randbytes(4096)
    return (block * (size // 4096 + 1))[:size]


class Worker:
    def __init__(self, top, number):
        self.number = number
        self.random = random.Random(number)
        self.home = f"{top}/w{number}"
        self.shared = f"{top}/shared"
        os.mkdir(self.home)
        self.files = {}  # by path: seed and size of the content
        self.directories = [self.home]
        self.links = {}  # a second name, and the file it is of
        self.lines = 0
        self.count = 0
        self.log = os.open(f"{self.home}/log", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND)

    def new_name(self):
        self.count += 1
        return f"{self.random.choice(self.directories)}/f{self.count}"

    def create(self):
        path = self.new_name()
        size = self.random.choice([0, 10, 3901, 100_000, 300_000])
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
        data = content(self.count, size)
        written = 0
        while written < size:
            written += os.write(fd, data[written:])
        assert os.fstat(fd).st_size == size, f"{path}: {os.fstat(fd).st_size} of {size} bytes"
        os.close(fd)
        self.files[path] = (self.count, size)

    def read(self):
        path = self.random.choice(list(self.files))
        with open(path, "rb") as file:
            assert file.read() == content(*self.files[path]), f"{path}: another content"

    def rename(self):
        path = self.random.choice(list(self.files))
        to = self.random.choice([self.new_name(), f"{self.shared}/{self.number}_{self.count}"])
        os.rename(path, to)
        self.files[to] = self.files.pop(path)
        for link, of in self.links.items():
            if of == path:
                self.links[link] = to
        assert not os.path.lexists(path), f"{path}: still there"

    def replace(self):
        path, to = self.random.sample(list(self.files), 2)
        if path in self.links.values() or to in self.links.values():
            return
        os.rename(path, to)
        self.files[to] = self.files.pop(path)

    def remove(self):
        path = self.random.choice(list(self.files))
        if path in self.links.values():
            return
        os.unlink(path)
        del self.files[path]

    def link(self):
        path = self.random.choice(list(self.files))
        link = self.new_name()
        os.link(path, link)
        self.links[link] = path
        assert os.stat(link).st_ino == os.stat(path).st_ino, f"{link}: not {path}"

    def unlink_link(self):
        if self.links:
            link = self.random.choice(list(self.links))
            os.unlink(link)
            del self.links[link]

    def make_directory(self):
        self.count += 1
        path = f"{self.home}/d{self.count}"
        os.mkdir(path)
        self.directories.append(path)

    def make_and_remove_directory(self):
        self.count += 1
        path = f"{self.home}/gone{self.count}"
        os.mkdir(path)
        os.rmdir(path)

    def truncate(self):
        path = self.random.choice(list(self.files))
        seed, size = self.files[path]
        if path in self.links.values() or size == 0:
            return
        os.truncate(path, size // 2)
        self.files[path] = (seed, size // 2)

    def append(self):
        os.write(self.log, b"line %6d\n" % self.lines)
        self.lines += 1

    def work_until(self, stop):
        acts = [self.create] * 4 + [self.read, self.rename, self.rename, self.replace, self.remove,
                                    self.link, self.unlink_link, self.make_directory,
                                    self.make_and_remove_directory, self.truncate, self.append,
                                    self.append]
        for _ in range(4):
            self.create()
        done = 0
        while not os.path.exists(stop):
            act = self.random.choice(acts)
            if len(self.files) < 4 or (len(self.directories) > 20 and act == self.make_directory):
                act = self.create
            try:
                act()
            except (OSError, AssertionError) as error:
                raise SystemExit(f"process {self.number}, {act.__name__} {self.count}: {error}")
            done += 1
        return {"files": self.files, "links": self.links, "directories": self.directories,
                "log": f"{self.home}/log", "lines": self.lines, "calls": done}


def run(top, processes, stop, notes):
    os.mkdir(f"{top}/shared")
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            try:
                noted = Worker(top, number).work_until(stop)
            except SystemExit as error:
                print(error, flush=True)
                os._exit(1)
            except BaseException as error:
                print(f"process {number}: {error!r}", flush=True)
                os._exit(1)
            with open(f"{notes}.{number}", "w") as file:
                json.dump(noted, file)
            os._exit(0)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(0 if not any(ended) else 1)


def below(directory):
    found = {}
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        found[path] = os.lstat(path)
        if os.path.isdir(path):
            found.update(below(path))
    return found


def check(top, notes):
    wrong = []
    expected = {f"{top}/shared"}
    calls = 0
    number = 0
    while os.path.exists(f"{notes}.{number}"):
        with open(f"{notes}.{number}") as file:
            noted = json.load(file)
        calls += noted["calls"]
        contents = dict(noted["files"])
        contents.update({link: noted["files"][of] for link, of in noted["links"].items()})
        for path, (seed, size) in contents.items():
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError as error:
                wrong.append(str(error))
                continue
            if zlib.crc32(data) != zlib.crc32(content(seed, size)):
                wrong.append(f"{path}: {len(data)} of {size} bytes, or others")
        lines = open(noted["log"], "rb").read().splitlines()
        if lines != [b"line %6d" % i for i in range(noted["lines"])]:
            wrong.append(f"{noted['log']}: {len(lines)} of {noted['lines']} lines, or others")
        expected |= set(contents) | set(noted["directories"]) | {noted["log"]}
        number += 1
    there = set(below(top))
    wrong += [f"{path}: not acknowledged" for path in sorted(there - expected)]
    wrong += [f"{path}: missing" for path in sorted(expected - there)]
    print("\n".join(wrong[:20]) if wrong else "all there")
    print(f"{number} processes, {calls} calls", file=sys.stderr)


if sys.argv[1] == "run":
    run(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
else:
    check(sys.argv[2], sys.argv[3])
