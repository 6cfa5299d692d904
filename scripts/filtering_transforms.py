#!/usr/bin/env python3
"""The transforms of minimal filtering, `src/kernel/filtering/transforms.rs`, from the points that they evaluate at.

    scripts/filtering_transforms.py [--check]

F(n, r) is n outputs of a correlation with r taps, y_i = Σ_k g_k·d_(i+k), by p = n + r − 1 products:

    y = Aᵀ[(G g) ⊙ (Bᵀ d)]

It is the transpose of Toom and Cook's product of polynomials. With points a_j, M(x) = Π_j (x − a_j), M_j = M/(x − a_j) and
N_j = M_j(a_j), row j of Bᵀ holds the coefficients of M_j, row j of G the a_j^k/N_j, and column j of Aᵀ the a_j^i. The last point is
infinity: its row of Bᵀ holds the coefficients of M, and it takes part in the last tap and the last output alone. All rows of Bᵀ
have the leading coefficient 1, so that with dyadic points only G, which is applied once per weight, divides.

Straight code for Bᵀ and Aᵀ is searched for: every row is the cheapest sum of inputs, of rows found before and of the halves of pairs
of rows: two rows of points a and −a are P + aR and P − aR, and two columns of Aᵀ act on the sum and the difference of their
inputs. Additions, multiplications and fused ones count 1 each. Of equal ones the one is taken that bounds rounding errors best (its
inputs meet the least coefficients), then the one with the shortest chain of operations. The matrices, and the code by running it on
unknowns, are checked exactly.

Without --check the file is written; with it, it is compared, and the exit status is 1 if it differs. Needs rustfmt.
"""

import itertools
import pathlib
import subprocess
import sys
from fractions import Fraction

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "src/kernel/filtering/transforms.rs"

# The finite points of p products, p − 1 of them.
POINTS = [
    [Fraction(0), Fraction(-1)],
    [Fraction(0), Fraction(1), Fraction(-1)],
    [Fraction(3, 8), Fraction(-3, 8), Fraction(5, 4), Fraction(-5, 4)],
    [Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)],
]
TAPS = range(2, 6)


def monic(roots):
    """The coefficients of Π (x − root), the constant one first."""
    product = [Fraction(1)]
    for root in roots:
        product = [a - root * b for a, b in zip([Fraction(0)] + product, product + [Fraction(0)])]
    return product


def input_matrix(points):
    rows = [monic(points[:j] + points[j + 1 :]) + [Fraction(0)] for j in range(len(points))]
    return rows + [monic(points)]


def output_matrix(points, n):
    """Row i has a_j^i (0^0 = 1); infinity stands in the last row."""
    return [[a**i for a in points] + [Fraction(int(i == n - 1))] for i in range(n)]


def filter_matrix(points, r):
    rows = []
    for j, a in enumerate(points):
        norm = Fraction(1)
        for b in points[:j] + points[j + 1 :]:
            norm *= a - b
        rows.append([a**k / norm for k in range(r)])
    return rows + [[Fraction(int(k == r - 1)) for k in range(r)]]


def check_identity(points, n, r):
    """y = Aᵀ[(G g) ⊙ (Bᵀ d)] is linear in g and in d: it holds if it holds for all pairs of unit vectors."""
    p = len(points) + 1
    b, a, g = input_matrix(points), output_matrix(points, n), filter_matrix(points, r)
    for tap, place, i in itertools.product(range(r), range(p), range(n)):
        found = sum(a[i][j] * g[j][tap] * b[j][place] for j in range(p))
        assert found == int(place == i + tap), (n, r, tap, place, i)


def solve(vectors, target):
    """The coefficients of the sum of `vectors` that is `target`, if there is one and none of them is zero."""
    rows = [list(row) for row in zip(*vectors, target)]
    for column in range(len(vectors)):
        pivot = next((row for row in range(column, len(rows)) if rows[row][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(len(rows)):
            if row != column:
                rows[row] = [a - rows[row][column] * b for a, b in zip(rows[row], rows[column])]
    if any(row[-1] for row in rows[len(vectors) :]):
        return None
    coefficients = [row[-1] for row in rows[: len(vectors)]]
    return coefficients if all(coefficients) else None


class Value:
    """A step's name, the combination of inputs that it is, how large it grows for inputs up to 1, and its place in chains."""

    def __init__(self, name, vector, growth=1, depth=0):
        self.name, self.vector, self.growth, self.depth = name, vector, growth, depth


def cheapest_sum(target, values):
    """The cheapest sum [(coefficient, value)] that is `target`."""
    best = None
    for size in range(1, len(target) + 1):
        if best and best[0] < size - 1:
            break
        for chosen in itertools.combinations(values, size):
            coefficients = solve([value.vector for value in chosen], target)
            if coefficients:
                terms = list(zip(coefficients, chosen))
                rank = (cost([terms]), sum(abs(c) * value.growth for c, value in terms))
                if best is None or rank < best[:2]:
                    best = (*rank, terms)
    # A chain begins with a term that is multiplied by nothing, and what is known late comes late.
    return best[1], sorted(best[2], key=lambda term: (term[0] != 1, term[1].depth))


def cost(sums):
    return sum(len(terms) - 1 + all(c != 1 for c, _ in terms) for terms in sums)


def split(first, second):
    """Half the sum and half the difference of two rows, as rows with a leading coefficient of 1."""
    halves = [[(a + b) / 2 for a, b in zip(first, second)], [(a - b) / 2 for a, b in zip(first, second)]]
    leading = [next(value for value in reversed(half) if value) for half in halves]
    return [[value / by for value in half] for half, by in zip(halves, leading)]


def program(matrix, helpers):
    """Steps [(name, [(coefficient, name)])] that compute the rows of a matrix, with helper rows, and the values of the rows."""
    width = len(matrix[0])
    values = [Value(f"x{j}", [Fraction(int(i == j)) for i in range(width)]) for j in range(width)]
    steps = []

    def add(row, name):
        growth, terms = cheapest_sum(row, values)
        first, depth = terms[0][0], terms[0][1].depth
        if len(terms) == 1 and first == 1:
            return terms[0][1]
        for _, value in terms[first == 1 :]:
            depth = max(depth, value.depth) + 1
        steps.append((name, [(c, value.name) for c, value in terms]))
        values.append(Value(name, row, growth, depth))
        return values[-1]

    for i, row in enumerate(helpers):
        add(row, f"t{i}")
    results = [add(row, f"y{i}") for i, row in enumerate(matrix)]
    used, kept = {value.name for value in results}, []
    for name, terms in reversed(steps):
        if name in used:
            used |= {of for _, of in terms}
            kept.append((name, terms))
    return kept[::-1], results


def best_program(matrix, pairs):
    """The best program over all sets of pairs of helper rows."""
    found = []
    for size in range(len(pairs) + 1):
        for chosen in itertools.combinations(pairs, size):
            steps, results = program(matrix, [row for pair in chosen for row in pair])
            growth, depth = sum(value.growth for value in results), sum(value.depth for value in results)
            found.append((cost(terms for _, terms in steps), growth, depth, size, steps, [value.name for value in results]))
    *_, steps, results = min(found, key=lambda candidate: candidate[:4])
    # What the code computes, run on unknowns.
    width = len(matrix[0])
    known = {f"x{j}": [Fraction(int(i == j)) for i in range(width)] for j in range(width)}
    for name, terms in steps:
        known[name] = [sum(c * known[of][i] for c, of in terms) for i in range(width)]
    assert [known[name] for name in results] == matrix
    return steps, results


def expression(terms):
    """One method call per operation."""
    splat = lambda c: f"V::splat(T::from_f64({float(c)}))"
    (c, name), rest = terms[0], terms[1:]
    text = name if c == 1 else f"{name}.mul({splat(c)})"
    for c, name in rest:
        assert Fraction(float(c)) == c and abs(c.numerator) < 1 << 24, c
        text = f"{text}.add({name})" if c == 1 else f"{text}.sub({name})" if c == -1 else f"{name}.mul_add({splat(c)}, {text})"
    return text


def function(name, doc, matrix, pairs):
    steps, results = best_program(matrix, pairs)
    rows, width = len(matrix), len(matrix[0])
    lines = [f"let {step} = {expression(terms)};" for step, terms in steps]
    return f"""
/// {doc}; {cost(terms for _, terms in steps)} operations.
///
/// # Safety
/// The instruction set is available.
#[inline(always)]
pub(super) unsafe fn {name}<T: Scalar, V: Vector<T>>(x: [V; {width}]) -> [V; {rows}] {{
    let [{", ".join(f"x{j}" for j in range(width))}] = x;
    // SAFETY: the instruction set is available, as `# Safety` demands; the methods demand nothing else.
    unsafe {{
        {chr(10).join(lines)}
        [{", ".join(results)}]
    }}
}}
"""


HEADER = """//! Transforms of minimal filtering: n outputs of a correlation with r taps by p = n + r − 1 products, F(n, r). They know vectors and
//! fractions, no layer.
//!
//! Generated by `scripts/filtering_transforms.py`; change that program, and run it.
//!
//! ```text
//! y_i = Σ_k g_k·d_(i+k)        y = Aᵀ[(G g) ⊙ (Bᵀ d)]
//! ```
//!
//! `input_P` is Bᵀ, which depends on the points alone, `output_P_N` is Aᵀ, and [`filter_matrix`] is G. The product of polynomials by
//! their values is A. L. Toom's (*The complexity of a scheme of functional elements realizing the multiplication of integers*, 1963)
//! and S. A. Cook's (*On the minimum computation time of functions*, 1966); that no fewer products do, and filters as their
//! transposes, S. Winograd's (*Arithmetic complexity of computations*, 1980); A. Lavin and S. Gray nest them over the axes of layers
//! (*Fast algorithms for convolutional neural networks*, 2015, section 4).
//!
//! | p | points | sets |
//! |---|---|---|
{table}
//!
//! Points have few binary digits, so that Bᵀ and Aᵀ are exact in `f32`, and come in pairs ±a, which share the even and the odd part
//! of their polynomials. Where there are two pairs, one lies below 1 and one above it: rounding errors grow with the powers of large
//! points and with those of the inverses of small ones.

use crate::kernel::vector::Vector;
use crate::scalar::Scalar;
"""


def show(a):
    return f"{'−' if a < 0 else ''}{abs(a)}"


def source():
    table, functions, tables, arms = [], [], [], []
    for points in POINTS:
        p = len(points) + 1
        names = ", ".join([show(a) for a in points] + ["∞"])
        pairs = [(j, points.index(-a)) for j, a in enumerate(points) if a > 0 and -a in points]
        b = input_matrix(points)
        functions.append(function(f"input_{p}", f"Bᵀ of the points {names}", b, [split(b[i], b[j]) for i, j in pairs]))
        sets = [(p - r + 1, r) for r in TAPS if p - r + 1 >= 2]
        table.append(f"//! | {p} | {names} | {', '.join(f'F({n}, {r})' for n, r in sets)} |")
        for n, r in sets:
            check_identity(points, n, r)
            unit = lambda i, j, sign: [Fraction((k == i) + sign * (k == j)) for k in range(p)]
            helpers = [[unit(i, j, 1), unit(i, j, -1)] for i, j in pairs]
            doc = f"Aᵀ of F({n}, {r}), points {names}"
            functions.append(function(f"output_{p}_{n}", doc, output_matrix(points, n), helpers))
            rows = [", ".join(f"({v.numerator}, {v.denominator})" for v in row) for row in filter_matrix(points, r)]
            rows = ", ".join(f"&[{row}]" for row in rows)
            tables.append(f"/// G of F({n}, {r}).\nconst FILTER_{n}_{r}: &[&[(i64, i64)]] = &[{rows}];\n")
            arms.append(f"({n}, {r}) => Some(FILTER_{n}_{r}),")
    lookup = f"""
/// G of F(`outputs`, `taps`): a row per point, each entry a numerator and a positive denominator. `None` for a set that there is not.
pub(crate) fn filter_matrix(outputs: usize, taps: usize) -> Option<&'static [&'static [(i64, i64)]]> {{
    match (outputs, taps) {{
        {chr(10).join(arms)}
        _ => None,
    }}
}}

"""
    text = HEADER.replace("{table}", "\n".join(table)) + lookup + "\n".join(tables) + "".join(functions)
    if TARGET.with_suffix("").joinpath("tests.rs").exists():
        text += "\n#[cfg(test)]\nmod tests;\n"
    command = ["rustfmt", "--edition", "2024", "--config-path", str(ROOT), "--emit", "stdout", "--quiet"]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    text = source()
    if sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text() != text:
            sys.exit(f"{TARGET.relative_to(ROOT)} is not what this program writes")
    else:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
