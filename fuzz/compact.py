#!/usr/bin/env python3
"""Makes the committed corpus of targets anew: of everything that has grown, few small files that reach most of the code.

    fuzz/compact.py TARGET…

libFuzzer's merge goes through all files, small ones first, and says which edges each is the first to reach. Those that are the first
to reach most are taken, at most 60 of them and 48 KiB of a target.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

FILES, BYTES = 60, 48 << 10
FOLDER = pathlib.Path(__file__).resolve().parent


def merged(target, folder):
    """The edges that every file is the first to reach."""
    control = folder / "control"
    sources = [str(FOLDER / kind / target) for kind in ("corpus", "grown") if (FOLDER / kind / target).is_dir()]
    (folder / "merged").mkdir()
    subprocess.run(
        ["cargo", "+nightly", "fuzz", "run", "--fuzz-dir", str(FOLDER), target, str(folder / "merged"), *sources, "--",
         "-merge=1", f"-merge_control_file={control}", "-rss_limit_mb=2048", "-timeout=20"],
        check=True, cwd=FOLDER,
    )
    lines = control.read_text().splitlines()
    # Two counts, the names of all files, then for each by its number FT and COV.
    names = lines[2:2 + int(lines[0])]
    edges = {}
    for line in lines[2 + len(names):]:
        kind, number, *found = line.split()
        if kind == "COV":
            edges[names[int(number)]] = set(found)
    return edges


def chosen(edges):
    """Files by what they add, as long as there is room."""
    size = {name: pathlib.Path(name).stat().st_size for name in edges}
    known, files, left = set(), [], BYTES
    while len(files) < FILES:
        fitting = [name for name in edges if size[name] <= left and edges[name] - known]
        if not fitting:
            break
        best = max(fitting, key=lambda name: (len(edges[name] - known) / (200 + size[name]), name))
        known |= edges[best]
        left -= size[best]
        files.append(best)
    everything = set().union(*edges.values())
    print(f"{len(files)} of {len(edges)} files, {BYTES - left} bytes, {len(known)} of {len(everything)} edges")
    return files


def main():
    for target in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            kept = [pathlib.Path(name).read_bytes() for name in chosen(merged(target, folder))]
        corpus = FOLDER / "corpus" / target
        shutil.rmtree(corpus, ignore_errors=True)
        corpus.mkdir(parents=True)
        for number, content in enumerate(kept):
            (corpus / f"{number:02}").write_bytes(content)


main()
