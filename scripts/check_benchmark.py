#!/usr/bin/env python3
"""Recomputes what `convmat bench` says about its figures from the figures alone.

    scripts/check_benchmark.py RESULTS [--peers FILE.json]...

RESULTS is a folder written by `convmat bench`. From results.csv (and the files of other programs' figures that were given to the
command) it computes every sentence of the reading in report.md and every row of its table anew, break-evens, rates, shares and
intensities among them, by its own reading of the rules that the report states; the reading in report.html must be the same, and
results.json must hold the same records. It calls no part of convmat and needs nothing beyond Python 3.9. Exits 1 on any
mismatch.
"""

import argparse
import csv
import html
import json
import math
import pathlib
import re
import sys
from fractions import Fraction

FAMILIES = {
    "the direct sum": ["gather", "scatter"],
    "the dense matrix": ["dense"],
    "the sparse matrix": ["sparse-csr", "sparse-csc", "transposed-csr"],
    "im2col": ["im2col-gemm", "im2col-matrixmultiply"],
    "zero insertion": ["zero-insertion"],
    "the plan": ["planned", "filtered"],
}
DENSE, SPARSE, IM2COL, PLAN = "the dense matrix", "the sparse matrix", "im2col", "the plan"
PAIRS = [(DENSE, [IM2COL, SPARSE]), (SPARSE, [IM2COL]), (PLAN, [IM2COL])]
FORMS = [("transposed-csr", "sparse-csc"), ("im2col-gemm", "im2col-matrixmultiply"), ("filtered", "planned")]
PROBLEM = (
    "layer swept op batch in_channels out_channels input kernel stride padding output_padding dilation groups threads direction"
).split()
NUMBERS = {
    "swept", "batch", "in_channels", "out_channels", "groups", "threads", "build_seconds", "builds", "run_seconds",
    "run_low", "run_high", "run_least", "runs", "rounds", "held_bytes", "peak_bytes", "useful_flops",
    "executed_flops", "bytes", "flops_peak", "bandwidth",
}  # fmt: skip
WHOLE = NUMBERS - {
    "swept", "build_seconds", "run_seconds", "run_low", "run_high", "run_least", "flops_peak", "bandwidth"
}  # fmt: skip


# Figures in words


def significant(value, digits):
    rounded = f"{value:.{digits - 1}e}"
    exponent = int(rounded.split("e")[1])
    return f"{float(rounded):.{max(0, digits - 1 - exponent)}f}"


def clock(seconds):
    for least, factor, unit in [(1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (1e-6, 1e6, "µs"), (0.0, 1e9, "ns")]:
        if seconds >= least:
            return f"{significant(seconds * factor, 3)} {unit}"


def size(count):
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while value >= 1023.95 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f}".removesuffix(".0") + " " + units[0]


def percent(share):
    return significant(100 * share, 2) + " %"


def ratio(value):
    return significant(value, 2)


def span(values, word):
    low, high = word(min(values)), word(max(values))
    return low if low == high else f"{low} to {high}"


def listed(words):
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def capitalised(text):
    return text[:1].upper() + text[1:]


# Where something holds


def plain(value):
    return str(int(value)) if value == int(value) else repr(value)


def value_in_words(sweep, value):
    if sweep in ("channels", "threads"):
        return f"1 {sweep[:-1]}" if value == "1" else f"{value} {sweep}"
    return f"{sweep} {value}"


def place(series, i):
    problem = series["points"][i]["problem"]
    if series["sweep"]:
        return "at " + value_in_words(series["sweep"], plain(problem["swept"]))
    return "on " + problem["layer"]


def places(series, where):
    """Of a set of numbers of points."""
    points, sweep = series["points"], series["sweep"]
    if len(where) == len(points) > 1:
        return "everywhere" if sweep else "on every layer"
    if not sweep:
        if len(where) > 3:
            return f"on {len(where)} of {len(points)} layers"
        return "on " + listed([points[i]["problem"]["layer"] for i in sorted(where)])
    ranges = []
    for i in sorted(where):
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    words = []
    for first, last in ranges:
        low, high = (plain(points[i]["problem"]["swept"]) for i in (first, last))
        if first == last:
            words.append("at " + value_in_words(sweep, low))
        elif first == 0:
            words.append("up to " + value_in_words(sweep, high))
        elif last == len(points) - 1:
            words.append(f"from {value_in_words(sweep, low)} on")
        else:
            words.append("from " + value_in_words(sweep, f"{low} to {high}"))
    return listed(words)


# Figures


def verdict(a, b):
    """-1 if a is faster beyond the spread, 1 if b is."""
    if a["run_high"] < b["run_low"]:
        return -1
    return int(b["run_high"] < a["run_low"])


def break_even(a, b):
    """The least whole n with build_a + m run_a < build_b + m run_b for all m >= n, found by search and by exact numbers."""
    ways = verdict(a, b)
    if ways != -1:
        return "equal" if ways == 0 else "never"
    cost = lambda record, n: Fraction(record["build_seconds"]) + n * Fraction(record["run_seconds"])
    if not a["run_seconds"] < b["run_seconds"]:
        sys.exit("spreads that do not meet have medians the other way round")
    low, high = -1, 0
    while not cost(a, high) < cost(b, high):
        low, high = high, 2 * high + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(a, middle) < cost(b, middle) else (middle, high)
    return high


def is_measured(record):
    return record["outcome"] == "measured"


def fastest(point, family):
    records = [r for r in point["records"] if r["formulation"] in FAMILIES[family] and is_measured(r)]
    return min(records, key=lambda r: r["run_seconds"], default=None)


def rate(record):
    return record["useful_flops"] / record["run_seconds"]


def intensity(record):
    return record["useful_flops"] / record["bytes"] if record["bytes"] else 0.0


def roof(record):
    return min(record["flops_peak"], intensity(record) * record["bandwidth"])


# Sentences


def sentence_fastest(series):
    winners = {}
    for i, point in enumerate(series["points"]):
        times = {family: fastest(point, family) for family in FAMILIES}
        times = {family: record for family, record in times.items() if record}
        if len(times) < 2:
            continue
        best = min(times.values(), key=lambda r: r["run_seconds"])
        equal = tuple(family for family, record in times.items() if verdict(best, record) == 0)
        winners.setdefault(equal, set()).add(i)
    parts = []
    for families, where in winners.items():
        verb = "is the fastest" if len(families) == 1 else "are the fastest, equal within the spread,"
        parts.append(f"{listed(list(families))} {verb} {places(series, where)}")
    return [capitalised("; ".join(parts)) + "."] if parts else []


def sentence(subject, said):
    said = list(filter(None, said))
    return [capitalised(f"{subject} {'; it '.join(said)}.")] if said else []


def comparison(series, b, pairs):
    """pairs: per point the records of both, or None."""
    if not any(pairs):
        return None
    parts, never = [], True
    for wanted, verb, measure in [(-1, f"beats {b}", "fast"), (0, "is equal within the spread", None), (1, "is slower", "long")]:
        where = {i for i, pair in enumerate(pairs) if pair and verdict(*pair) == wanted}
        if not where:
            continue
        never = never and wanted != -1
        medians = [tuple(record["run_seconds"] for record in pairs[i]) for i in where]
        ratios = [y / x if wanted == -1 else x / y for x, y in medians]
        part = f"{verb} {places(series, where)}"
        parts.append(part + (f" ({span(ratios, ratio)} times as {measure})" if measure else ""))
    beginning = f"nowhere beats {b}: it " if never else ""
    return beginning + listed(parts)


def sentence_building(series):
    parts = list(filter(None, [pays(series, matrix) for matrix in (DENSE, SPARSE)]))
    return [capitalised("; ".join(parts)) + "."] if parts else []


def pays(series, matrix):
    parts = []
    for rival in (IM2COL, PLAN):
        pairs = [(fastest(point, matrix), fastest(point, rival)) for point in series["points"]]
        if not any(a and b for a, b in pairs):
            continue
        counts = {i: break_even(a, b) for i, (a, b) in enumerate(pairs) if a and b}
        counts = {i: n for i, n in counts.items() if not isinstance(n, str)}
        if not counts:
            parts.append(f"nowhere against {rival}")
            continue
        number = span(list(counts.values()), str)
        noun = "application" if number == "1" else "applications"
        parts.append(f"against {rival} {places(series, set(counts))} (after {number} {noun})")
    return f"building {matrix} pays {listed(parts)}" if parts else None


def sentence_refused(series, family, limit):
    where, example = set(), None
    for i, point in enumerate(series["points"]):
        forms = [r for r in point["records"] if r["formulation"] in FAMILIES[family]]
        refused = [r for r in forms if r["outcome"] == "refused"]
        if not refused or any(map(is_measured, forms)):
            continue
        where.add(i)
        needed = [r["held_bytes"] for r in refused if r["held_bytes"] is not None]
        if example is None and needed and min(needed) > limit:
            example = (place(series, i), min(needed))
    if not where:
        return []
    text = f"{family} is refused {places(series, where)}"
    if example:
        at = "" if example[0] == places(series, where) else example[0] + " "
        needed = "just over" if size(example[1]) == size(limit) else f"{size(example[1])}, beyond"
        text += f": {at}it would hold {needed} the limit of {size(limit)}"
    return [capitalised(text) + "."]


def sentences_roof(series):
    """Intensities, what bounds which formulation, and what each reaches."""
    intensities, shares, beyond, bounds = [], [], False, {"bandwidth": [], "both": [], "peak": []}
    for family in FAMILIES:
        records = {i: fastest(point, family) for i, point in enumerate(series["points"])}
        records = {i: r for i, r in records.items() if r and roof(r) > 0}
        if not records:
            continue
        intensities.append(f"{family} {span([intensity(r) for r in records.values()], ratio)}")
        below = {i for i, r in records.items() if intensity(r) < r["flops_peak"] / r["bandwidth"]}
        if below and set(records) - below:
            bounds["both"].append(f"{family} {places(series, below)}")
        else:
            bounds["bandwidth" if below else "peak"].append(family)
        of_roof = [rate(r) / roof(r) for r in records.values()]
        of_peak = [rate(r) / r["flops_peak"] for r in records.values()]
        shares.append(f"{family} {span(of_peak, percent)} and {span(of_roof, percent)}")
        beyond = beyond or max(of_roof) > 1
    if not shares:
        return []
    parts = [f"the bandwidth bounds {listed(bounds['bandwidth'])}"] if bounds["bandwidth"] else []
    parts += [f"the bandwidth bounds {', '.join(bounds['both'])}, and elsewhere the peak"] if bounds["both"] else []
    parts += [f"the peak bounds {listed(bounds['peak'])}"] if bounds["peak"] else []
    caches = "; beyond 100 % caches deliver more than memory could" if beyond else ""
    return [
        f"Useful FLOP per byte: {', '.join(intensities)}.",
        capitalised("; ".join(parts)) + ".",
        f"Of the peak and of that roof they reach: {', '.join(shares)}{caches}.",
    ]


def sentence_memory(series):
    parts = []
    for family in FAMILIES:
        peaks = [r["peak_bytes"] for r in (fastest(point, family) for point in series["points"]) if r]
        if peaks:
            parts.append(f"{family} {span(peaks, size)}")
    return [f"Memory at its highest: {', '.join(parts)}."] if parts else []


def sentences_missing(series):
    records = [(i, r) for i, point in enumerate(series["points"]) for r in point["records"]]
    failed = [(i, r) for i, r in records if r["outcome"] == "failed"]
    interrupted = sum(r["outcome"] == "interrupted" for _, r in records)
    sentences = []
    if failed:
        first = f"{failed[0][1]['formulation']} {place(series, failed[0][0])}"
        sentences.append(f"{len(failed)} of {len(records)} measurements failed, the first that of {first}.")
    if interrupted:
        sentences.append(f"{interrupted} of {len(records)} measurements were not reached before the run was interrupted.")
    return sentences


def reading(series, limit, peers):
    points = series["points"]
    both = lambda pair: pair if all(pair) else None
    form = lambda point, name: next((r for r in point["records"] if r["formulation"] == name and is_measured(r)), None)
    sentences = sentence_fastest(series)
    for a, rivals in PAIRS:
        said = [comparison(series, b, [both((fastest(p, a), fastest(p, b))) for p in points]) for b in rivals]
        sentences += sentence(a, said)
    for a, b in FORMS:
        sentences += sentence(a, [comparison(series, b, [both((form(p, a), form(p, b))) for p in points])])
    sentences += sentence_building(series)
    for family in FAMILIES:
        sentences += sentence_refused(series, family, limit)
    sentences += sentences_roof(series)
    sentences += sentence_memory(series)
    for family, names in FAMILIES.items():
        beside = [peer for peer in peers if peer["beside"] in names]
        with_peer = lambda peer: [both((fastest(p, family), figure_of(peer, p["problem"]))) for p in points]
        sentences += sentence(family, [comparison(series, peer["name"], with_peer(peer)) for peer in beside])
    return sentences + sentences_missing(series)


# The table


def row(record, point):
    first = [record["layer"], record["direction"], record["formulation"]]
    word = {"refused": "refused: ", "failed": "FAILED: "}
    note = word.get(record["outcome"], "") + (record["reason"] or "")
    note = "; ".join(filter(None, ["interrupted" if record["outcome"] == "interrupted" else note, record["warnings"]]))
    if not is_measured(record):
        return first + [""] * 8 + [note]
    pays = []
    for rival in (IM2COL, PLAN):
        other = fastest(point, rival)
        is_matrix = record["formulation"] in FAMILIES[DENSE] + FAMILIES[SPARSE]
        pays.append(str(break_even(record, other)) if other and is_matrix else "")
    return first + figures(record, record) + [size(record["peak_bytes"])] + pays + [note]


def figures(record, work):
    """Build, run, spread, rate and share of the peak; whose operations they are is said apart."""
    build = "" if record["build_seconds"] is None else clock(record["build_seconds"])
    flops = work["useful_flops"] / record["run_seconds"]
    spread = f"{clock(record['run_low'])} – {clock(record['run_high'])}"
    return [build, clock(record["run_seconds"]), spread, significant(flops / 1e9, 3), percent(flops / work["flops_peak"])]


def peer_row(peer, figure, point):
    threads = "1 thread" if figure["threads"] == 1 else f"{figure['threads']} threads"
    peak = "" if figure["peak_bytes"] is None else size(figure["peak_bytes"])
    first = [point["problem"]["layer"], point["problem"]["direction"], peer["name"]]
    return first + figures(figure, point["records"][0]) + [peak, "", "", f"other program, {threads}"]


def rows(points, peers):
    for point in points:
        yield from (row(record, point) for record in point["records"])
        for peer in peers:
            figure = figure_of(peer, point["problem"])
            if figure:
                yield peer_row(peer, figure, point)


# Files


def parse(column, text):
    if column not in NUMBERS:
        return text or None
    if not text:
        return None
    return int(text) if column in WHOLE else float(text)


def read_csv(path):
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    count = next((i for i, line in enumerate(lines) if not line.startswith("# ")), len(lines))
    facts = (line[2:].split(": ", 1) for line in lines[:count])
    header = {key: json.loads(value) for key, value in facts}
    records = [{c: parse(c, text) for c, text in line.items()} for line in csv.DictReader(lines[count:])]
    return header, records


def key(problem):
    return tuple(problem.get(column) for column in PROBLEM)


def figure_of(peer, problem):
    return next((figure for figure in peer["figures"] if key(figure["problem"]) == key(problem)), None)


def points_of(records):
    points = {}
    for record in records:
        points.setdefault(key(record), {"problem": record, "records": []})["records"].append(record)
    return list(points.values())


def series_of(points, sweep):
    series = {}
    for point in points:
        direction = point["problem"]["direction"]
        series.setdefault(direction, {"sweep": sweep, "direction": direction, "points": []})["points"].append(point)
    for one in series.values():
        one["points"].sort(key=lambda point: point["problem"]["swept"] or 0.0)
    return list(series.values())


def one_line(text):
    return " ".join(text.split())


def section(text, title):
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return match[1] if match else ""


def said(markdown):
    """The sentences of a report, per direction."""
    found = {}
    for line in section(markdown, "Reading").splitlines():
        if line.startswith("### "):
            found[line[4:]] = []
        elif line.startswith("- "):
            found[list(found)[-1]].append(line[2:])
    return found


def said_in_html(text):
    text = text.split("<h2>Reading</h2>")[1].split("<h2>")[0]
    parts = re.findall(r"<h3>(.*?)</h3>\n<ul>(.*?)</ul>", text, re.S)
    return {title: [html.unescape(item) for item in re.findall(r"<li>(.*?)</li>", items, re.S)] for title, items in parts}


def table(markdown):
    lines = [line for line in section(markdown, "Figures").splitlines() if line.startswith("| ")]
    return [[cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[1:]]


def differences(what, found, wanted):
    """Messages on the places at which two lists differ."""
    if len(found) != len(wanted):
        yield f"{what}: {len(found)} in the report, {len(wanted)} by the figures"
    for ours, theirs in zip(wanted, found):
        if ours != theirs:
            yield f"{what}:\n  report:  {theirs}\n  figures: {ours}"


def same_record(ours, theirs):
    return ours.keys() == theirs.keys() and all(ours[c] == theirs[c] for c in ours)


def check(folder, peer_files):
    header, records = read_csv(folder / "results.csv")
    other = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    peers = [peer for path in peer_files for peer in json.loads(path.read_text(encoding="utf-8"))["peers"]]
    if header["format"] != 2:
        yield f"results.csv has format {header['format']}; this script reads 2"
        return
    if header != other["header"]:
        yield "results.csv and results.json have different headers"
    if len(records) != len(other["records"]):
        yield f"results.csv has {len(records)} records, results.json {len(other['records'])}"
    for ours, theirs in zip(records, other["records"]):
        if not same_record(ours, theirs):
            yield f"results.csv and results.json differ in {ours['formulation']} of {ours['layer']}, {ours['direction']}"
    points = points_of(records)
    found, in_html = said(markdown), said_in_html(page)
    if found != in_html:
        yield "report.md and report.html read differently"
    all_series = series_of(points, header["sweep"])
    yield from differences("directions", list(found), [series["direction"] for series in all_series])
    for series in all_series:
        wanted = [one_line(sentence) for sentence in reading(series, header["memory_limit"], peers)]
        yield from differences(f"sentences on {series['direction']}", found.get(series["direction"], []), wanted)
        check.sentences += len(wanted)
    wanted = [[one_line(cell) for cell in cells] for cells in rows(points, peers)]
    yield from differences("rows", table(markdown), wanted)
    check.rows += len(wanted)


check.sentences = check.rows = 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("results", type=pathlib.Path)
    arguments.add_argument("--peers", type=pathlib.Path, action="append", default=[])
    arguments = arguments.parse_args()
    wrong = list(check(arguments.results, arguments.peers))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{check.sentences} sentences and {check.rows} rows recomputed, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
