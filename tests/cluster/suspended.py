# suspended.py DIR: opens files in the mount, waits for DIR/go, works on them and says so by
# DIR/worked; after DIR/resumed it closes them. suspended.py DIR check: is the content right?
import os
import sys
import time

where = sys.argv[1]
chunk = 4 << 20
size = 3 * chunk


def await_file(name):
    deadline = time.monotonic() + 30
    while not os.path.exists(os.path.join(where, name)):
        if time.monotonic() > deadline:
            sys.exit(name + " did not come")
        time.sleep(0.01)


def say(name):
    open(os.path.join(where, name), "w").close()


def expected(worked):
    content = bytearray(bytes(range(256)) * (size // 256))
    if worked:
        for round_ in range(200):
            at = round_ * 61441 % (size - 4096)
            content[at:at + 4096] = bytes([round_ % 251]) * 4096
    return bytes(content)


def write_all(fd, data, offset):
    while data:
        n = os.pwrite(fd, data, offset)
        data, offset = data[n:], offset + n


def main():
    if len(sys.argv) > 2:
        with open("/benchfs/known", "rb") as f:
            print("consistent" if f.read() == expected(True) else "different content")
        print(*(["appended is wrong"] if os.path.getsize("/benchfs/appended") != 200 * 100 else []), end="")
        return
    known = os.open("/benchfs/known", os.O_RDWR | os.O_CREAT)
    appended = os.open("/benchfs/appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write_all(known, expected(False), 0)
    write_all(appended, b"a" * 5000, 0)  # too many for a small file, which its server would move
    say("opened")
    await_file("go")
    for round_ in range(200):
        at = round_ * 61441 % (size - 4096)
        write_all(known, bytes([round_ % 251]) * 4096, at)
        if os.pread(known, 4096, at) != bytes([round_ % 251]) * 4096:
            sys.exit("read back something else")
    for _ in range(150):
        os.write(appended, b"a" * 100)
    copy = b""
    while len(copy) < size:
        copy += os.pread(known, 1 << 20, len(copy))
    if copy != expected(True):
        sys.exit("content differs")
    say("worked")
    await_file("resumed")
    os.close(known)
    os.close(appended)


main()
