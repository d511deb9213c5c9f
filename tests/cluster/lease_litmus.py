# lease_litmus.py ROLE TO FROM DIRECTORY ROUNDS: what one host changed another sees, which had read
# it before. ROLE is `change` or `look`; TO and FROM are named pipes outside BenchFS, the only thing
# that orders the two. Prints what was stale and exits with 1, else "ROUNDS rounds of each kind".
import errno
import os
import sys

role, to_name, from_name, top, rounds = sys.argv[1:5] + [int(sys.argv[5])]
if role == "change":
    to = os.open(to_name, os.O_WRONLY)
    come_from = os.open(from_name, os.O_RDONLY)
else:
    come_from = os.open(from_name, os.O_RDONLY)
    to = os.open(to_name, os.O_WRONLY)


def tell():
    os.write(to, b".")


def wait():
    if not os.read(come_from, 1):
        sys.exit("the other side has ended")


def path(name):
    return f"{top}/{name}"


def put(name, content):
    fd = os.open(path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, content)
    os.close(fd)


def expect(what, seen, wanted):
    if seen != wanted:
        print(f"stale: {what}: {seen!r}, not {wanted!r}", flush=True)
        sys.exit(1)


def missing(name):
    for call in (lambda: os.stat(path(name)), lambda: os.open(path(name), os.O_RDONLY)):
        try:
            call()
            seen = 0
        except OSError as error:
            seen = error.errno
        expect(f"{name} is missing", seen, errno.ENOENT)


def content(name):
    fd = os.open(path(name), os.O_RDONLY)
    text = os.read(fd, 1000)
    size = os.fstat(fd).st_size
    os.close(fd)
    expect(f"{name}: size by fstat", size, len(text))
    return text


def look(name):  # until leases on it are held
    for _ in range(3):
        try:
            os.stat(path(name))
        except FileNotFoundError:
            pass


def text_of(i):
    return b"round %07d" % i + b"x" * (i % 50)


# Each kind: what is there at first; what the one changes in round i; what the other checks then.
class Create:
    def begin(self):
        pass

    def change(self, i):
        put(f"c{i}", text_of(i))

    def check(self, i):
        expect(f"c{i}: size", os.stat(path(f"c{i}")).st_size, len(text_of(i)))
        expect(f"c{i}: content", content(f"c{i}"), text_of(i))

    def prepare(self, i):
        look(f"c{i}")


class Remove:
    def begin(self):
        for i in range(rounds):
            if not os.path.exists(path(f"c{i}")):
                put(f"c{i}", text_of(i))

    def change(self, i):
        os.unlink(path(f"c{i}"))

    def check(self, i):
        missing(f"c{i}")

    def prepare(self, i):
        look(f"c{i}")


class Rename:
    def begin(self):
        put("r0", b"zero")
        os.mkdir(path("d0"))
        put("d0/f", b"below")

    def change(self, i):
        os.rename(path(f"r{i}"), path(f"r{i + 1}"))
        os.rename(path(f"d{i}"), path(f"d{i + 1}"))

    def check(self, i):
        missing(f"r{i}")
        expect(f"r{i + 1}", content(f"r{i + 1}"), b"zero")
        missing(f"d{i}/f")
        expect(f"d{i + 1}/f", content(f"d{i + 1}/f"), b"below")

    def prepare(self, i):
        for name in (f"r{i}", f"r{i + 1}", f"d{i}/f", f"d{i + 1}/f"):
            look(name)


class ChangeMode:
    def begin(self):
        put("m", b"mode")

    def change(self, i):
        os.chmod(path("m"), 0o400 | (i + 1) % 64)

    def check(self, i):
        expect("mode", os.stat(path("m")).st_mode & 0o777, 0o400 | (i + 1) % 64)

    def prepare(self, i):
        look("m")


class Truncate:
    def begin(self):
        put("t", b"t" * 1000)

    def change(self, i):
        os.truncate(path("t"), (i * 37 + 1) % 1000)

    def check(self, i):
        expect("size", os.stat(path("t")).st_size, (i * 37 + 1) % 1000)
        expect("bytes", len(content("t")), (i * 37 + 1) % 1000)

    def prepare(self, i):
        look("t")


class Write:
    def begin(self):
        put("w", b"")

    def change(self, i):
        fd = os.open(path("w"), os.O_WRONLY)
        os.pwrite(fd, text_of(i), 0)
        if i % 2:  # what is open for writing is seen as well
            os.close(fd)
        else:
            self.open = fd
        if i % 2 and i > 1:
            os.close(self.open)

    def check(self, i):
        length = max(len(text_of(k)) for k in range(max(0, i - 50), i + 1))
        expect("size", os.stat(path("w")).st_size, length)
        expect("content", content("w")[: len(text_of(i))], text_of(i))

    def prepare(self, i):
        look("w")


for kind in (Create(), Remove(), Rename(), ChangeMode(), Truncate(), Write()):
    if role == "change":
        kind.begin()
        tell()
        for i in range(rounds):
            wait()  # it has seen the state before
            kind.change(i)
            tell()
        wait()
    else:
        wait()
        for i in range(rounds):
            kind.prepare(i)
            tell()
            wait()
            kind.check(i)
        tell()
print(f"{rounds} rounds of each kind", flush=True)
