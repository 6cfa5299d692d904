// Answers and what is looked up in them. Every index and number in here was computed by convmat.
"use strict";

const byId = (id) => document.getElementById(id);
const product = (lengths) => lengths.reduce((a, b) => a * b, 1);

// In a file that was exported, all answers stand in the page; otherwise the server that sent the page has them.
const exported = byId("answers") ? JSON.parse(byId("answers").textContent) : null;

/** The answer to a query: `{error}`, or `{counterpart, operator}`. */
async function ask(query) {
  if (exported) {
    const found = exported.queries[query];
    if (!found) return { error: "This file has no such layer; convmat explore has all of them." };
    return found.error ? found : { counterpart: found.counterpart, operator: exported.operators[found.operator] };
  }
  try {
    const response = await fetch("api/geometry?" + query);
    const answer = await response.json();
    return answer.error ? answer : { counterpart: answer.counterpart, operator: answer };
  } catch {
    return { error: "convmat explore does not answer; was it ended?" };
  }
}

/** The weights of a layer that are too many to come along with the answer; null if there is no server any more. */
async function askWeights(query) {
  try {
    const response = await fetch("api/weights?" + query);
    return new Float64Array(await response.arrayBuffer());
  } catch {
    return null;
  }
}

/** The entries of C, listed by row, by column and by tap. */
class Matrix {
  constructor({ rows, patterns, entries }) {
    const count = rows.length / 3;
    this.row = new Int32Array(entries);
    this.column = new Int32Array(entries);
    this.tap = new Int32Array(entries);
    this.ofRow = new Int32Array(count + 1);
    let next = 0;
    for (let row = 0; row < count; row++) {
      const [pattern, column, tap] = [patterns[rows[3 * row]], rows[3 * row + 1], rows[3 * row + 2]];
      for (let run = 0; run < pattern.length; run += 5) {
        for (let i = 0; i < pattern[run + 2]; i++, next++) {
          this.row[next] = row;
          this.column[next] = column + pattern[run] + i * pattern[run + 3];
          this.tap[next] = tap + pattern[run + 1] + i * pattern[run + 4];
        }
      }
      this.ofRow[row + 1] = next;
    }
  }

  /** Entries of a row, in order of their columns. */
  inRow(row) {
    return range(this.ofRow[row], this.ofRow[row + 1]);
  }

  inColumn(column) {
    this.byColumn ??= sorted(this.column);
    return this.byColumn(column);
  }

  withTap(tap) {
    this.byTap ??= sorted(this.tap);
    return this.byTap(tap);
  }

  /** The entry at a place, or -1. */
  at(row, column) {
    for (let e = this.ofRow[row]; e < this.ofRow[row + 1]; e++) if (this.column[e] === column) return e;
    return -1;
  }
}

function range(start, end) {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

/** For every key the places where it stands, by counting. Plain loops: there may be a million keys. */
function sorted(keys) {
  let most = -1;
  for (let place = 0; place < keys.length; place++) if (keys[place] > most) most = keys[place];
  const starts = new Int32Array(most + 2);
  for (let place = 0; place < keys.length; place++) starts[keys[place] + 1]++;
  for (let key = 0; key <= most; key++) starts[key + 1] += starts[key];
  const next = starts.slice();
  const places = new Int32Array(keys.length);
  for (let place = 0; place < keys.length; place++) places[next[keys[place]]++] = place;
  return (key) => (key > most ? [] : Array.from(places.subarray(starts[key], starts[key + 1])));
}

/** Position of a flat index in a row-major shape. */
function position(index, shape) {
  const at = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at[axis] = index % shape[axis];
    index = Math.floor(index / shape[axis]);
  }
  return at;
}

/** A number as short as it stays true to four digits. */
function short(value) {
  if (value === null) return "∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value).replace("-", "−");
  const text = Math.abs(value) >= 1e7 || Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}
