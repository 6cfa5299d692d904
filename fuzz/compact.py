#!/usr/bin/env python3
"""Makes the committed corpus of targets anew: of everything that has grown, few small files that reach most of the code.

    fuzz/compact.py TARGET…

libFuzzer's merge says which features (edges, and how often they are taken) every file has. Files are taken in the order of what
they add, small ones rather than large ones, at most 60 of them and 48 KiB of a target.
"""

import heapq
import pathlib
import shutil
import subprocess
import sys
import tempfile

FILES, BYTES = 60, 48 << 10
FOLDER = pathlib.Path(__file__).resolve().parent


def merged(target, folder):
    """The features of every file."""
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
    features = {}
    for line in lines[2 + len(names):]:
        kind, number, *found = line.split()
        if kind == "FT":
            features[names[int(number)]] = set(found)
    return features


def chosen(features):
    """Files by what they add, as long as there is room."""
    size = {name: pathlib.Path(name).stat().st_size for name in features}
    known, files, left = set(), [], BYTES

    def worth(name):
        return -len(features[name] - known) / (1000 + size[name])

    # What a file adds only ever shrinks: the best so far is the best if it still is worth as much.
    heap = [(worth(name), name) for name in features]
    heapq.heapify(heap)
    while heap and len(files) < FILES:
        before, name = heapq.heappop(heap)
        now = worth(name)
        if now > before:
            heapq.heappush(heap, (now, name))
        elif now < 0 and size[name] <= left:
            known |= features[name]
            left -= size[name]
            files.append(name)
    everything = set().union(*features.values())
    print(f"{len(files)} of {len(features)} files, {BYTES - left} bytes, {len(known)} of {len(everything)} features")
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
