# The cases of run.sh; read once for each size of instance.

check "test program: io" <<'END'
"$P"/io
END
check "test program: names" <<'END'
"$P"/names
END
check "test program: renames" <<'END'
"$P"/renames
END
check "test program: directories" <<'END'
"$P"/directories
END
check "test program: flags" <<'END'
"$P"/flags
END
check "test program: attributes" <<'END'
"$P"/attributes
END
check "test program: errnos" <<'END'
"$P"/errnos
END
check "test program: xattrs" <<'END'
"$P"/xattrs
END
expected='65536 bytes: 0, E2BIG above, 65536 read, lists ENOSPC
setxattr("f", "trusted.x", "y", 1, 0) = -1 EOPNOTSUPP
setxattr("f", "security.x", "y", 1, 0) = -1 EOPNOTSUPP
getxattr("f", "security.x", NULL, 0) = -1 EOPNOTSUPP
setxattr("f", "system.posix_acl_access", "y", 1, 0) = -1 EOPNOTSUPP
getxattr("f", "system.posix_acl_default", NULL, 0) = -1 EOPNOTSUPP
getxattr("missing", "system.posix_acl_access", NULL, 0) = -1 ENOENT
exit code 0'
[ "$(id -u)" = 0 ] || expected=${expected/'"y", 1, 0) = -1 EOPNOTSUPP'/'"y", 1, 0) = -1 EPERM'}
expect "extended attributes beyond a plain directory" <<'END'
"$P"/xattrs beyond
END
check "test program: descriptors" <<'END'
"$P"/descriptors
END
check "test program: descriptors, with output in the directory" <<'END'
"$P"/descriptors > out 2>&1; echo $?
END
check "test program: litmus" <<'END'
"$P"/litmus
END
check "test program: streams" <<'END'
"$P"/streams
END
check "test program: streams, with everything in the directory" <<'END'
echo in > in; "$P"/streams < in > out 2> err; echo $?
END
check "test program: processes" <<'END'
"$P"/processes
END
check "test program: processes, with output in the directory" <<'END'
"$P"/processes > out 2>&1; echo $?
END
check "test program: locks" <<'END'
"$P"/locks
END
check "printf to redirected output" <<'END'
printf 'one\ntwo\n' > in
"$P"/print_redirected < in > out 2> err; echo $?
"$P"/print_redirected < in >> out 2>> err; echo $?
"$P"/print_redirected < in > both 2>&1; echo $?
"$P"/print_redirected < in | tail -n 3
END
check "std::cout to redirected output" <<'END'
printf 'one\ntwo\n' > in
"$P"/cout_redirected < in > out 2> err; echo $?
"$P"/cout_redirected file < in > out2 2> err2; echo $?
"$P"/cout_redirected file3 < in; echo $?
END

expected='(long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) = -1 ENODEV
inotify_add_watch(inotify_init1(0), ".", IN_CREATE) = -1 ENOSYS
mkfifo("fifo", 0644) = -1 EPERM
splice(fd, NULL, STDOUT_FILENO, NULL, 1, 0) = -1 EINVAL
aio_read(&request) = -1 ENOSYS
(long)fts_open((char*[]){".", NULL}, FTS_PHYSICAL, NULL) == 0 ? -1 : 0 = -1 ENOSYS
exit code 0'
expect "what is refused says so" <<'END'
"$P"/refused
END

check "ls" <<'END'
touch -d 2001-02-03 a b; ln -s a l; mkdir d; chmod 640 a; chmod 755 b; touch -d 2001-02-03 d; touch -hd 2001-02-03 l
printf 12345 > c; touch -d 2010-01-01 c
ls; ls -1a; ls -l a b c l | awk '{$2 = ""; print}'; ls -p; ls -R; ls -t; ls -S a b c; ls missing; ls -ld d | cut -c1-10
ls > listing; ls -la > long; wc -l < long; rm long; ls --color=always | od -c | head; ls -i a > /dev/null
END
check "cp" <<'END'
printf 'content' > a; mkdir -p d/e; echo x > d/e/f; ln -s a l; touch -d 2001-01-01 a
cp a b; cp -p a c; stat -c '%Y %s' c; cp -r d d2; cp -a l l2; readlink l2; cp a d; cp -R l d/l; cp missing x; cp -v a v
cp -a d d3; diff -r d d3; cp --sparse=always a s; cp -l a hard; stat -c %h hard; cp -s "$PWD/a" sym; cp a a; cp d x
head -c 5000000 /dev/zero | tr '\0' z > big; cp big big2; cmp big big2
cp -r d "$W"/out; diff -r d "$W"/out; cp -a "$W"/out back; diff -r d back; cp a /dev/stdout; cp -n b c; cp -u a b
END
check "cp -r of a tree, diff, tar, rm" <<'END'
cp -r /usr/include/linux/netfilter . && diff -r /usr/include/linux/netfilter netfilter && tar cf l.tar netfilter &&
rm -rf netfilter && tar xf l.tar && diff -r /usr/include/linux/netfilter netfilter && ls | wc -l; rm l.tar
END
check "mv" <<'END'
echo a > a; mkdir d; mv a b; mv b d; mv d e; ls -R; echo x > x; echo y > y; mv x y; cat y; mv missing z; mv -n y e/b; mv -v y w
echo out > "$W"/f; mv "$W"/f in; cat in; mv in "$W"/g; cat "$W"/g; mkdir t; echo q > t/q; mv t "$W"/t; cat "$W"/t/q; mv "$W"/t .; cat t/q; mv e t; mv t t/x
END
check "rm, mkdir, rmdir" <<'END'
mkdir a a/b; mkdir a; mkdir -p x/y/z x/y; mkdir -m 700 m; stat -c %a m; rmdir a; rmdir a/b a; rmdir -p x/y/z; rmdir missing
touch f; rm f; rm f; rm -f f; mkdir -p t/u/v; touch t/1 t/u/2 t/u/v/3; rm t; rm -r t; ls; rm -rf none; mkdir missing/x
umask 077; mkdir masked; touch maskedf; stat -c '%a %n' masked maskedf
END
check "cat, head, tail, wc, sort, tee" <<'END'
seq 1000 > n; cat n | md5sum; cat < n | md5sum; head -n 2 n; head -c 10 n; head -n -998 n; tail -n 2 n; tail -c 5 n; tail -n +999 n
wc n; wc -l < n; sort -rn n | head -n 1; sort -n -o n n; sort -R n | wc -l; seq 5 | tee a b > c; cmp a b; cmp b c; seq 2 | tee -a a; cat a
cat missing; cat n n > nn; wc -c nn; tac n | head -1; nl n | tail -1; cut -c1 n | sort -u; uniq -c a; cat - n < a | wc -l; split -n 3 n part; ls; cat n >> n
END
check "dd" <<'END'
dd if=/dev/zero of=z bs=1M count=6 status=none; ls z; stat -c %s z; dd if=z of=y bs=64k skip=2 count=3 status=none; stat -c %s y
echo hello | dd of=y bs=1 seek=10 conv=notrunc status=none; dd if=y bs=1 skip=10 count=5 status=none; echo
dd if=z of=s bs=1M seek=20 count=1 status=none conv=fsync; stat -c %s s; dd if=missing; dd if=z bs=1k count=1 oflag=append conv=notrunc of=y status=none; stat -c %s y
dd if=/dev/urandom of=r bs=100k count=90 iflag=fullblock status=none; md5sum < r > sum; dd if=r bs=1000 status=none | md5sum | cmp - sum && rm r sum; dd if=z of=t bs=3 count=5 status=none
END
check "stat, touch, ln, readlink, truncate" <<'END'
echo x > f; touch -d '2001-02-03 04:05:06.789' f; stat -c '%n %s %F %a %h %y %u %g' f; mkdir d; stat -c '%n %F %a' d; stat missing
ln f g; stat -c %h f; ln -s f s; readlink s; readlink f; stat -c '%N %F' s; stat -L -c '%F' s; ln f g; ln -sf g s; readlink s; ln d x
touch -r f t; stat -c %y t; touch -c none; ls none; touch -a -d 2005-01-01 f; stat -c '%x %y' f; truncate -s 100 f; truncate -s +5 f; wc -c f; truncate -s 0 f; touch d/x/y
readlink -f s; realpath s d/../g; realpath -m none/x; readlink -e none; [ f -ef g ] && echo same; [ s -nt f ]; test -L s && test -d d && test -f g && test ! -e none && echo tests
END
check "chmod, chown" <<'END'
touch f; chmod 600 f; stat -c %a f; chmod u+x,g+r f; stat -c %a f; mkdir -p d/e; chmod -R 700 d; stat -c %a d d/e; chmod 644 missing; chown "$(id -u):$(id -g)" f; chmod --reference=f d/e; stat -c %a d/e
cp /bin/true prog; ./prog; echo $?; chmod -x prog; ./prog; echo $?
END
check "du, df" <<'END'
mkdir d; head -c 100000 /dev/zero | tr '\0' x > d/f; du -sb d/f; du --apparent-size d/f | cut -f1; df . > /dev/null; echo $?; df -i . > /dev/null; echo $?; stat -f -c %l .
END
check "md5sum, sha256sum, cmp, diff" <<'END'
seq 10000 > a; sed s/5000/x/ a > b; md5sum a b > sums; md5sum -c sums; sha256sum a; cmp a b; diff a b; diff -q a a; echo $?; sum a; cksum a
END
check "find" <<'END'
mkdir -p a/b/c a/d; touch a/1 a/b/2 a/b/c/3 a/.h; ln -s ../1 a/b/l; find . | sort; find . -type f | sort; find . -name '[12]' | sort; find -L . -type f | sort; find a -maxdepth 1 | sort
find . -type f -exec sh -c 'echo x > "$1"' - {} \; ; find . -type f -size 1 | wc -l; touch -d 2001-01-01 old; find . -type f -newer old | wc -l; rm old; find . -empty | sort; find . -name b -prune -o -print | sort; find a -depth | tail -1; find missing
find . -type f -print0 | xargs -0 grep -c x | sort; find . -type f -delete; find . -type d -empty | sort; find . -perm 644; find a -execdir pwd \; | sort -u | wc -l
END
check "grep" <<'END'
mkdir -p d/e; seq 100 > d/n; echo needle > d/e/f; echo 'a needle here' > g; printf 'bin\0needle' > d/b; grep -r needle . | sort; grep -rl needle | sort; grep -c 1 d/n; grep -n 50 d/n; grep needle g missing; grep -rn nothing; echo $?
grep -r --include='f' needle .; grep -q needle < g; echo $?; grep -f g g; ls | grep d; grep needle g > out; cat out; grep -l needle * 
END
check "tar, gzip" <<'END'
mkdir -p d/e; echo 1 > d/1; echo 2 > d/e/2; ln -s 1 d/l; ln d/1 d/h; chmod 600 d/1; touch -d 2001-01-01 d/1 d/e/2 d/e d; touch -hd 2001-01-01 d/l
tar cf t.tar d; tar tf t.tar | sort; tar czf t.tgz d; mkdir x; tar xf t.tar -C x; diff -r d x/d; stat -c '%Y %a %h' x/d/1; tar xzf t.tgz --transform s/^d/y/; ls -R y; tar df t.tar; tar rf t.tar -C x d/1; tar cf - d | tar tf - | wc -l
gzip -k t.tar; gunzip -c t.tar.gz | cmp - t.tar; tar xf missing; seq 1000 | gzip > z.gz; zcat z.gz | tail -1; rm *.tgz *.gz t.tar
END
check "bash: redirections" <<'END'
echo one > f; echo two >> f; cat < f; echo err 1>&2 2> e; { echo a; echo b >&2; } > o 2> e2; cat o e2; echo x > o 2>&1; exec 3> three; echo to three >&3; exec 3>&-; cat three
exec 4< f; read -r line <&4; echo "$line"; read -r line <&4; echo "$line"; exec 4<&-; while read -r l; do echo "got $l"; done < f; echo {1..5} > list; read -ra words < list; echo "${#words[@]}"
cat << HERE > here
in a here document $((1 + 1))
HERE
cat here; cat <<< "a string"; set -C; echo clobber > f; echo over >| f; set +C; cat f; echo "$(< f)"; echo $(cat f); mapfile -t m < three; echo "${m[0]}"; printf '%s\n' {a..e} > p; cat missing > q 2>&1; cat q
exec 5<> rw; echo rw >&5; exec 5>&-; cat rw; ( echo sub; echo err >&2 ) &> all; cat all; echo x > d/none; echo >&9; true > empty; test -s empty; echo $?; { cat; echo tail; } < f > g; cat g; > trunc; for i in 1 2 3; do echo $i; done > loop; cat loop
END
check "bash: exec > file" <<'END'
exec 6>&1 > log 2>&1; echo builtin; /bin/echo program; printf 'printf\n'; ls; echo err >&2; exec >&6; cat log; ( exec > sub; echo in sub; bash -c 'echo in a child' ); cat sub
exec 7> held; bash -c 'echo by the child >&7'; echo by the parent >&7; exec 7>&-; cat held; ( echo background > bg ) & wait; cat bg; coproc cat; echo hi >&"${COPROC[1]}"; read -r x <&"${COPROC[0]}"; echo "$x" > co; cat co
END
check "bash: pipelines" <<'END'
seq 100 > n; cat n | sort -rn | head -3 > top; cat top; tee a < n | wc -l > count; cat count; diff <(sort n) <(sort n | tee s) && echo same; cat < n | while read -r i; do echo "$i"; done | tail -1; yes | head -1000 > y; wc -l y; paste n n > pp; head -1 pp
xargs -n 1 -P 4 sh -c 'echo $0 > out.$0' < <(seq 20); ls out.* | wc -l; cat out.1 out.20; seq 3 | xargs touch; ls; seq 5 | (read -r a; echo "$a"; cat) > r; cat r; tee < n >(cat > w) > /dev/null; wait $!; wc -l < w
END
check "bash: scripts, cd, globs, tests" <<'END'
mkdir -p d/e 'with space'; cd d; pwd | sed 's|.*/||'; cd e; cd ..; cd ..; cd -; cd "$OLDPWD"; cd d/e/../..; pushd d > /dev/null; popd > /dev/null; touch d/a1 d/a2 d/b 'with space/x'; echo d/*; echo d/a?; echo */*; echo ../case*/d/[ab]* | wc -w; cd none; shopt -s globstar; echo **
printf '#!/bin/bash\necho "script $1 in $(basename "$PWD")"\nexit 3\n' > s.sh; chmod +x s.sh; ./s.sh x; echo $?; bash s.sh y; sh -c 'cd d; ../s.sh z'; PATH=$PWD:$PATH; s.sh path; . ./s.sh; echo unreachable
END
check "sh, awk, sed, perl" <<'END'
seq 10 > n; sh -c 'cat < n > m; echo $?; . ./m' > o 2>&1; awk '{s += $1; print > "awk.out"} END {print s; close("awk.out"); while ((getline l < "awk.out") > 0) c++; print c; "ls | wc -l" | getline x; print x; system("echo sys > sys.out")}' n; sed -i s/5/five/ n; cat n; sed -n '2w two' n; cat two; sed s/1/x/w\ w n > /dev/null; cat w
perl -e 'open(F, ">", "p") or die; print F "perl\n"; close F; open(F, "<", "p"); print <F>; close F; print -s "p", "\n"; rename "p", "q"; opendir(D, "."); print join(" ", sort readdir D), "\n"; unlink "q"; open(F, "|-", "cat > pp"); print F "piped\n"; close F; print `cat pp`; print "ok\n" if -d "."; open(STDOUT, ">", "so"); print "to so\n"; system("echo from a child")'; cat so; rm sys.out
END
check "install, mktemp, mkfifo, comm, join, shuf" <<'END'
echo x > f; install -m 750 f g; stat -c %a g; install -d i/j; f=$(mktemp -p . tmp.XXXXXX); stat -c '%a %s' "$f"; rm "$f"; d=$(mktemp -d -p .); rmdir "$d"; echo $?; seq 5 > a; seq 3 7 > b; comm -12 a b; join a b; shuf a | wc -l; fold -w 1 a | wc -l; expand a | md5sum; od -c f; base64 f; csplit -s a 3; ls; rm xx*; sync f; ls -l f | wc -l; pr -t a | head -2; tr a-z A-Z < f; env -C i pwd | sed 's|.*/||'; nice cat f; timeout 5 cat f; stdbuf -oL cat f; cat /dev/stdin < f; echo err > /dev/stderr; echo o > /dev/stdout; cat /dev/fd/3 3< f; echo tee | tee /dev/stderr > o2 2> e2; cat o2 e2; logname > /dev/null 2>&1; chroot . true 2> /dev/null; id > id; rm id
END
check "make and a compiler" <<'END'
printf '#include "h.h"\n#include <stdio.h>\nint main(void) { printf("%%d\\n", N + f()); return 0; }\n' > main.c; printf 'int f(void) { return 40; }\n' > f.c; printf '#define N 2\nint f(void);\n' > h.h
printf 'prog: main.o f.o\n\tcc -o $@ $^\nmain.o: main.c h.h\n\tcc -c main.c\nf.o: f.c\n\tcc -c $<\nclean:\n\trm -f prog *.o\nout: prog\n\t./prog > $@\n' > Makefile
make; ./prog; make; make out; cat out; touch -d 2040-01-01 h.h; make -j4 2> /dev/null | grep -v Warn; ar rcs lib.a f.o; ar t lib.a; nm f.o | wc -l; gcc -pipe -O2 main.c lib.a -o two && ./two; make -C . clean; ls; rm two lib.a
END
check "python: files" <<'END'
cat > t.py << 'PY'
import os, shutil, tempfile, glob, pathlib, json, mmap, io, subprocess, sys
with open("a", "w") as f: print("hello", file=f); f.write("x" * 100000)
with open("a") as f: print(f.readline().strip(), len(f.read()), f.tell())
with open("a", "ab") as f: f.write(b"tail"); print(f.tell())
with open("a", "r+b") as f:
    f.seek(5); f.write(b"!"); f.seek(0); print(f.read(7)); f.truncate(1000); print(os.fstat(f.fileno()).st_size)
    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); print(m[:6], len(m)); m.close()
os.makedirs("d/e/f", exist_ok=True); open("d/e/g", "x").close()
try: open("d/e/g", "x")
except FileExistsError as e: print(e)
try: open("none/x")
except OSError as e: print(e)
try: os.rmdir("d")
except OSError as e: print(e)
print(sorted(os.listdir("d")), [(sorted(x), sorted(y)) for _, x, y in os.walk("d")], sorted((e.name, e.is_dir(), e.stat().st_size * e.is_file()) for e in os.scandir(".")))
os.symlink("a", "s"); print(os.readlink("s"), os.path.realpath("s") == os.path.abspath("a"), os.path.islink("s"), os.path.samefile("s", "a"))
os.rename("a", "b"); os.replace("b", "c"); os.link("c", "h"); print(os.stat("c").st_nlink, os.path.exists("a"), os.path.lexists("s"), os.path.exists("s"))
shutil.copytree("d", "d2"); shutil.copy2("c", "k"); shutil.move("k", "m"); shutil.rmtree("d2"); print(sorted(glob.glob("*")), sorted(map(str, pathlib.Path(".").rglob("*"))))
with tempfile.NamedTemporaryFile(dir=".") as t: t.write(b"1"); t.flush(); print(os.path.getsize(t.name))
with tempfile.TemporaryDirectory(dir=".") as t: open(os.path.join(t, "x"), "w").close(); print(len(os.listdir(t)))
json.dump({"k": [1, 2]}, open("j", "w")); print(json.load(open("j")))
os.chmod("c", 0o640); os.utime("c", (1, 2)); st = os.stat("c"); print(oct(st.st_mode), st.st_mtime, os.access("c", os.X_OK)); os.truncate("c", 10)
fd = os.open("p", os.O_RDWR | os.O_CREAT); print(os.pwrite(fd, b"0123456789", 5), os.pread(fd, 3, 7), os.lseek(fd, 0, os.SEEK_END)); os.writev(fd, [b"ab", b"cd"]); os.fsync(fd); os.posix_fallocate(fd, 0, 100); print(os.fstat(fd).st_size); os.close(fd)
os.chdir("d/e"); print(os.path.basename(os.getcwd()), os.listdir("../..") != []); os.chdir("../.."); s = os.statvfs("."); print(s.f_namemax); df = os.open("d", os.O_RDONLY); print(sorted(os.listdir(df)), os.stat("e/g", dir_fd=df).st_size); os.close(df)
PY
python3 t.py
END
check "python: subprocess" <<'END'
cat > t.py << 'PY'
import subprocess, os, sys
with open("out", "w") as f: subprocess.run(["sh", "-c", "echo child; echo err >&2"], stdout=f, stderr=subprocess.STDOUT, check=True); print("parent", file=f)
print(open("out").read())
with open("out") as f: print(subprocess.run(["cat"], stdin=f, capture_output=True).stdout)
with open("log", "ab", buffering=0) as f: [p.wait() for p in [subprocess.Popen(["echo", str(i)], stdout=f) for i in range(5)]]
print(sorted(open("log").read().split())); os.remove("log")
os.mkdir("d"); print(subprocess.check_output(["ls", "-a"], cwd="d"), subprocess.call("pwd > p; exit 4", shell=True, cwd="d"), os.path.basename(open("d/p").read().strip())); os.remove("d/p")
print(os.system("echo sys > sys.out"), os.popen("cat sys.out").read()); pid = os.fork()
if pid == 0: open("forked", "w").write("child"); os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open("forked").read()); fd = os.open("kept", os.O_CREAT | os.O_WRONLY); print(subprocess.run(["sh", "-c", f"echo kept >&{fd}"], pass_fds=[fd]).returncode); os.close(fd); print(open("kept").read())
sys.stdout.flush(); os.dup2(os.open("redirected", os.O_CREAT | os.O_WRONLY), 1); print("to a file"); sys.stdout.flush(); subprocess.run(["echo", "and a child"])
import multiprocessing as mp
def work(i): open(f"w{i}", "w").write(str(i)); return i
if True:
    with mp.get_context("fork").Pool(3) as pool: print(sum(pool.map(work, range(10))))
PY
python3 t.py; cat redirected
END
check "fio: sync and psync" <<'END'
for engine in sync psync vsync; do fio --name=v --directory=. --size=4m --bs=64k --rw=randwrite --verify=crc32c --numjobs=2 --ioengine=$engine --group_reporting > "$W"/fio 2>&1; echo $?; grep -c 'err= 0' "$W"/fio; done
fio --name=r --filename=v.0.0 --size=4m --bs=4k --rw=randrw --ioengine=psync --output="$W"/fio --end_fsync=1 > /dev/null; echo $?; fio --name=s --filename=shared --size=8m --bs=1m --rw=write --numjobs=4 --offset_increment=2m --ioengine=psync --fallocate=none > /dev/null; stat -c %s shared; rm -f *
END
for journal in delete truncate persist; do
check "SQLite: 4 processes, journal mode $journal" <<END
cat > t.py << 'PY'
import os, sqlite3, sys
def connect():
    c = sqlite3.connect("db", timeout=100, isolation_level=None); c.execute("PRAGMA synchronous=OFF"); print(c.execute("PRAGMA journal_mode=$journal").fetchone()[0], file=log); return c
log = open("log", "a"); connect().execute("CREATE TABLE t (who INTEGER, n INTEGER)")
children = []
for who in range(4):
    children.append(os.fork())
    if children[-1] == 0:
        c = connect()
        for n in range(200):
            c.execute("BEGIN IMMEDIATE"); c.execute("INSERT INTO t VALUES (?, ?)", (who, n)); c.execute("COMMIT")
        c.close(); os._exit(0)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
c = connect(); print(c.execute("PRAGMA integrity_check").fetchall(), c.execute("SELECT who, COUNT(*), SUM(n) FROM t GROUP BY who ORDER BY who").fetchall()); c.close()
PY
python3 t.py; sort -u log; ls; rm -f db db-journal log t.py
END
done
for io in ompio romio321; do
check "MPI-IO by $io" <<END
mpirun --oversubscribe -n 3 --mca io $io "\$P"/mpi_io "\$PWD"/absolute; mpirun --oversubscribe -n 3 --mca io $io "\$P"/mpi_io relative; md5sum absolute relative
END
done
check "several processes at once" <<'END'
for i in 1 2 3 4; do (for j in $(seq 25); do echo "$i $j" >> common; echo "$j" > "f.$i.$j"; done) & done; wait; wc -l < common; sort common | uniq | wc -l; ls | wc -l; for i in 1 2 3 4; do (for j in $(seq 25); do rm "f.$i.$j"; done) & done; wait; ls; sort common -o common
for i in 1 2 3 4; do mkdir -p deep/er/dir & done; wait; ls -R deep; head -c 8000000 /dev/zero | tr '\0' a > big; for i in 0 1 2 3; do (dd if=/dev/zero of=big bs=1M count=1 seek=$((i * 2)) conv=notrunc status=none) & done; wait; md5sum big
END
check "mkdir -p of one path by several" <<'END'
for n in $(seq 10); do mkdir d$n; cd d$n; for i in 1 2 3 4; do mkdir -p deep/er/dir & done; wait; cd ..; done; find . | sort
END
check "links that lead in and out" <<'END'
mkdir d; echo in > d/f; ln -s "$PWD"/d abs; cat abs/f; ln -s /etc/passwd out; head -c 4 out; echo; ln -s /etc etc; cat etc/passwd | head -c 4; echo; ls -d etc/passwd; cat ../../etc/passwd 2> /dev/null | head -c 0; ln -s ../d d/up; cat d/up/up/f; ln -s "$W" w; echo x > w/made; cat "$W"/made; mv w/made .; cat made; cd etc && pwd -P; cd - > /dev/null; rm w; stat -Lc %F etc; [ -e out ] && echo there; find -L out -type f; rm out etc
END
check "git" <<'END'
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2001-01-01 00:00:00 +0000'; git config --global user.email a@b; git config --global user.name n; git config --global init.defaultBranch main; git config --global gc.auto 0
mkdir r && cd r && git init -q && seq 100 > n && git add n && git commit -qm one && sed -i s/50/x/ n && git diff --stat && git commit -qam two && git log --oneline | wc -l && git checkout -q HEAD~1 && wc -l n && cd .. && git clone -q r c && ls c && cd c && git log --format=%H | head -1 && git fsck 2> /dev/null && cd .. && rm -rf r c
END

for tool in git rsync setfattr; do
  command -v $tool >/dev/null || report 1 "$tool is there to be tested"
done
# A tree of every kind of thing, and a listing of all that copies of it must keep. Sizes of
# directories are a filesystem's own.
tree_functions='
make_tree() {
  mkdir -p "$1"/d/e "$1"/empty; echo one > "$1"/a; seq 20000 > "$1"/d/numbers; ln "$1"/a "$1"/d/hard; ln "$1"/a "$1"/d/e/harder
  ln -s ../a "$1"/d/soft; ln -s nowhere "$1"/broken; printf "#!/bin/sh\\n" > "$1"/d/e/script; chmod 750 "$1"/d/e/script; chmod 400 "$1"/d/numbers
  truncate -s 3000000 "$1"/d/hole; chmod 2770 "$1"/empty; touch "$1/with a space" "$1"/.hidden
  setfattr -n user.note -v "a note" "$1"/a; setfattr -n user.bytes -v 0x0001ff0a "$1"/d/numbers; setfattr -n user.on -v dir "$1"/d
  find "$1" -depth -exec touch -hd "2001-02-03 04:05:06.123456789" {} +
}
show_tree() {
  (cd "$1" && find . -type d -printf "%p %y %m %n %T@\\n" -o -printf "%p %y %m %n %s %T@ %l\\n" | LC_ALL=C sort
    getfattr -hdR -e hex . | sed -n "s/^# file: //; /=/! { h; d }; G; s/\\(.*\\)\\n\\(.*\\)/\\2 \\1/p" | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum)
}'
check "cp -a keeps all" <<END
$tree_functions
make_tree t; show_tree t; cp -a t t2; show_tree t2; diff -r --no-dereference t t2; cp -a t "\$W"/out; show_tree "\$W"/out; cp -a "\$W"/out back; show_tree back; chmod -R u+w .
END
check "rsync -aHX, and again" <<END
$tree_functions
make_tree t; rsync -aHX t/ t2; show_tree t2; rsync -aHXi t/ t2; rsync -aHX --stats t/ t2 | grep 'files transferred'; rsync -aHX t "\$W"; show_tree "\$W"/t; rsync -aHXi t "\$W"
make_tree "\$W"/u; rsync -aHX "\$W"/u .; show_tree u; rsync -aHXi "\$W"/u .; echo more >> u/a; setfattr -n user.new -v x u/d; touch u/new; rm u/broken; rsync -aHXi --delete u/ t2 | cut -c 1-40; rsync -aHXi --delete u/ t2; show_tree t2 | wc -l; chmod -R u+w .
END
check "tar --xattrs keeps all" <<END
$tree_functions
make_tree t; tar --xattrs -cf t.tar t; mkdir x; tar --xattrs -xpf t.tar -C x; show_tree x/t; tar --xattrs -df t.tar; tar -C "\$W" --xattrs -xpf t.tar; show_tree "\$W"/t; (cd "\$W" && tar --xattrs -cf - t) | tar --xattrs -xpf - --transform s/^t/u/; show_tree u; rm t.tar; chmod -R u+w .
END
check "git: many files" <<'END'
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2001-01-01 00:00:00 +0000'; git config --global user.email a@b; git config --global user.name n; git config --global init.defaultBranch main; git config --global gc.auto 0
count=300; [ -z "${BENCHFS_TEST_FULL:-}" ] || count=5000
git init -q r && cd r && for d in 0 1 2 3 4 5 6 7 8 9; do mkdir -p "d$d/sub"; done; for ((i = 0; i < count; ++i)); do echo "content $i" > "d$((i % 10))/sub/f$i"; done; ln -s d0 link; chmod +x d1/sub/f1
git add -A && git commit -qm all && git log --format=%H && git status --short && for ((i = 0; i < count; i += 7)); do echo changed >> "d$((i % 10))/sub/f$i"; done; git rm -rqf d9 && git mv d8 moved && git status --short | wc -l && git commit -qam more && git log --format=%H | head -n 1
cd .. && git clone -q r c && diff -r --exclude=.git r c && cd c && git log --oneline && git gc -q && git fsck --full 2>&1 && git status --short && git checkout -q HEAD~1 && git ls-files | wc -l && git stash list && find .git/objects -name '*.pack' | wc -l; cd .. && rm -rf r c
END
expected='content
bash: line 1: f: Read-only file system
touch: cannot touch '"'new'"': Read-only file system
rm: cannot remove '"'f'"': Read-only file system
mkdir: cannot create directory '"'new'"': Read-only file system
mkdir: cannot create directory '"'d'"': File exists
rmdir: failed to remove '"'d'"': Read-only file system
mv: cannot move '"'f' to 'g'"': Read-only file system
ln: failed to create symbolic link '"'s'"': Read-only file system
ln: failed to create hard link '"'h'"': Read-only file system
chmod: changing permissions of '"'f'"': Read-only file system
truncate: cannot open '"'f'"' for writing: Read-only file system
touch: cannot touch '"'f'"': Read-only file system
setfattr: f: Read-only file system
cat: none: No such file or directory
f may not be written
content
d
f
exit code 0'
expect "nothing changes where nothing may be changed" <<'END'
echo content > f; mkdir d
BENCHFS_READ_ONLY=1 bash -c 'exec 2>&1; cat f; echo x > f; touch new; rm f; mkdir new; mkdir d; rmdir d; mv f g; ln -s f s; ln f h; chmod 600 f; truncate -s 1 f; touch -r d f; setfattr -n user.x -v y f; cat none; [ -w f ] || echo f may not be written; cat f; ls'
END
