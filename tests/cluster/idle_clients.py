# idle_clients.py READY N: N processes, each with a file open and connected; then READY is made.
# Ends with SIGTERM.
import os
import signal
import sys

count = int(sys.argv[2])
read_end, write_end = os.pipe()
children = []
for i in range(count):
    child = os.fork()
    if child == 0:
        os.close(read_end)
        fd = os.open(f"/benchfs/idle-{i}", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"x" * 1000)
        os.write(write_end, b"1")
        signal.pause()
        os._exit(0)
    children.append(child)


def end(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGALRM, end)
signal.alarm(120)
os.close(write_end)
connected = 0
while connected < count:
    got = os.read(read_end, count)
    if not got:
        sys.exit("a client ended")
    connected += len(got)
open(sys.argv[1], "w").close()
while True:
    signal.pause()
