#!/usr/bin/env python3
"""What the two commands of the README cost from nothing, in seconds of processor time and of the clock.

    scripts/build_costs.py [REVISION…] [--only first|tests] [--timings FOLDER]

For every revision (HEAD unless there are others) it clones the repository into a temporary folder, takes the two commands from that
revision's README (the first two blocks of `sh` under "Two commands"), and runs each with a build folder of its own, downloads done
beforehand. Processor time is that of all processes, user and system. With several revisions it prints each one's times over the
first one's. Processor time hardly depends on what else the machine does, time by the clock does. With --timings cargo's own reports
of the builds are kept in a folder.

Needs nothing beyond Python 3.9, git and cargo. Exits 1 if a command fails.
"""

import argparse
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

from revisions import ROOT, checkout


def commands(readme):
    """The first two shell commands of a README."""
    blocks = re.findall(r"^```sh\n(.*?)\n```$", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(zip(("first", "tests"), blocks))


def measured(command, clone, target):
    """Processor seconds and seconds by the clock of a command, and its exit status."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, shell=True, cwd=clone, env=environment, stdout=subprocess.DEVNULL)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return processor, end - start, done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", default=["HEAD"], metavar="REVISION")
    parser.add_argument("--only", choices=("first", "tests"))
    parser.add_argument("--timings", type=pathlib.Path, metavar="FOLDER")
    arguments = parser.parse_args()
    first, failed = {}, False
    for revision in arguments.revisions:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", revision], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()
        with checkout(commit) as clone:
            subprocess.run(["cargo", "fetch", "--quiet", "--locked"], cwd=clone, check=True)
            for name, command in commands(clone / "README.md").items():
                if arguments.only not in (None, name):
                    continue
                target = clone / f"target-{name}"
                if arguments.timings:
                    command = re.sub(r"^cargo (\w+)", r"cargo \1 --timings", command)
                processor, clock, status = measured(command, clone, target)
                over = f", {processor / first[name]:.3f} of the first" if name in first else ""
                first.setdefault(name, processor)
                print(f"{commit} {name}: {processor:.0f} s of processor time, {clock:.0f} s{over}", flush=True)
                if status:
                    print(f"{commit} {name}: exit status {status}", file=sys.stderr)
                    failed = True
                if arguments.timings:
                    arguments.timings.mkdir(parents=True, exist_ok=True)
                    for report in target.glob("cargo-timings/cargo-timing.html"):
                        shutil.copy(report, arguments.timings / f"{commit}-{name}.html")
    return failed


if __name__ == "__main__":
    sys.exit(main())
