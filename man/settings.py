#!/usr/bin/env python3
"""The settings in benchfs.conf(5), made from `benchfsd_mpi --help-config`.

settings.py check BENCHFSD_MPI PAGE    fails, and shows the difference, if the page says otherwise
settings.py write BENCHFSD_MPI PAGE    rewrites the page's section
"""

import difflib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

BEGIN = '.\\" Settings: made by settings.py from benchfsd_mpi --help-config'
END = '.\\" Settings: end'


def roff(text):
    """Sentences on lines of their own, none of which roff takes for a request."""
    lines = []
    for sentence in re.split(r"(?<=[.;]) (?=[A-Z0-9<])", text.replace("\\", "\\e")):
        for line in textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False):
            lines.append("\\&" + line if line[0] in ".'" else line)
    return lines


def settings(help_text):
    """(section, key, default, paragraphs), in the order of the table."""
    section, comment = None, []
    for line in help_text.splitlines():
        if line.startswith("["):
            section, comment = line, []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif match := re.fullmatch(r"#(\w+) =(?: (.*))?", line):
            text = " ".join(comment)
            help_line, separator, allowed = text.rpartition(" Allowed: ")
            if section is None or not separator:
                raise SystemExit(f"settings.py: --help-config: cannot read '{line}'")
            yield section, match[1], match[2], [help_line, "Allowed: " + allowed]
            comment = []
        elif line:
            raise SystemExit(f"settings.py: --help-config: cannot read '{line}'")
        elif section is None:
            comment = []  # the text in front of the first section


def page_section(help_text):
    lines, current = [], None
    for section, key, default, paragraphs in settings(help_text):
        if section != current:
            if current is not None:
                lines.append(".El")
            lines += [f".Ss {section}", ".Bl -tag -width Ds"]
            current = section
        lines.append(f".It Ic {key} No = " + (default if default else "(empty)"))
        for paragraph in paragraphs:
            lines += roff(paragraph)
    if current is None:
        raise SystemExit("settings.py: --help-config lists no settings")
    return lines + [".El"]


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("check", "write"):
        print(__doc__, file=sys.stderr)
        return 2
    mode, program, page = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    help_text = subprocess.run([program, "--help-config"], check=True, stdout=subprocess.PIPE,
                               text=True, timeout=30).stdout
    lines = page.read_text(encoding="utf-8").splitlines()
    begin, end = lines.index(BEGIN) + 1, lines.index(END)
    made = page_section(help_text)
    if mode == "write":
        page.write_text("\n".join(lines[:begin] + made + lines[end:]) + "\n", encoding="utf-8")
        return 0
    if lines[begin:end] == made:
        return 0
    print("\n".join(difflib.unified_diff(lines[begin:end], made, str(page), "--help-config",
                                         lineterm="")))
    print(f"{page.name} differs from --help-config: run {sys.argv[0]} write {program} {page}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
