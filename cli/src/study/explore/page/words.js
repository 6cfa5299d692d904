// What is lit, in words and numbers.

const MOST_TERMS = 27;
const AXES = ["depth", "height", "width"];

/** Names what plays which part in the current direction. */
function nameParts() {
  const { transposed } = view;
  const [large, small] = [byId("large"), byId("small")];
  large.dataset.label = transposed ? "x̂" : "x";
  small.dataset.label = "y";
  byId("overlap").dataset.label = "overlap";
  large.querySelector(".name").textContent = large.dataset.label;
  small.querySelector(".name").textContent = "y";
  large.querySelector(".role").textContent = transposed ? "output" : "input";
  small.querySelector(".role").textContent = transposed ? "input" : "output";
  document.body.classList.toggle("transposed", transposed);
  byId("middle").querySelector(".arrow span").textContent = transposed ? "Cᵀ" : "C";
  byId("matrix").querySelector(".reading").textContent = transposed
    ? "read by columns: x̂ = Cᵀ·y"
    : "read by rows: y = C·x";
  byId("frame").querySelector(".columns").textContent = transposed ? "columns: outputs x̂" : "columns: inputs x";
  byId("frame").querySelector(".rows").textContent = transposed ? "rows: inputs y" : "rows: outputs y";
  byId("to-convolution").setAttribute("aria-checked", String(!transposed));
  byId("to-transposed").setAttribute("aria-checked", String(transposed));
  byId("to-convolution").tabIndex = transposed ? -1 : 0;
  byId("to-transposed").tabIndex = transposed ? 0 : -1;
}

/** A tensor's element as it is written: y[1, 2], with the channel where there are several. */
function element(name, index, shape) {
  const at = position(index, shape);
  return `${name}[${[...(shape[0] > 1 ? [at[0]] : []), ...at.slice(-view.operator.axes)].join(", ")}]`;
}

const smallName = (row) => element("y", row, view.operator.small);
const largeName = (column) => element(byId("large").dataset.label, column, view.operator.large);
function tapName(tap) {
  const { kernel, axes } = view.operator;
  const at = position(tap, kernel);
  const channels = kernel[0] * kernel[1] > 1 ? at.slice(0, 2) : [];
  return `w[${[...channels, ...at.slice(-axes)].join(", ")}]`;
}

/** The index relation of one entry, an axis each, with its numbers. */
function relation(e) {
  const { operator: { small, large, kernel, stride, dilation, begin, axes }, matrix } = view;
  const [s, l, t] = [position(matrix.row[e], small), position(matrix.column[e], large), position(matrix.tap[e], kernel)];
  return range(3 - axes, 3).map((i) =>
    `${s[i + 1]}·${stride[i]} + ${t[i + 2]}·${dilation[i]} − ${begin[i]} = ${l[i + 1]}`);
}

/** A weight as it is written; very many of them come later than the rest. */
const weight = (tap) => (view.operator.w ? short(view.operator.w[tap]) : "…");

/** What an entry contributes in the current direction: weight times input. */
function term(e) {
  const { operator: { x, y }, matrix, transposed } = view;
  return `${weight(matrix.tap[e])}·${short(transposed ? y[matrix.row[e]] : x[matrix.column[e]])}`;
}

function describe({ focus, entries }) {
  const { operator, transposed } = view;
  byId("headline").textContent = focus ? headline(focus, entries) : idle();
  byId("terms").innerHTML = focus && entries.length ? table(focus, entries) : "";
}

/** The lit entries as rows of a table; what all of them share is named in the headline already. */
function table(focus, entries) {
  const { operator: { axes, y, back }, matrix, transposed } = view;
  const columns = [
    ["tap", (e) => tapName(matrix.tap[e]), focus.kind !== "tap"],
    ["y", (e) => smallName(matrix.row[e]), focus.kind !== "small"],
    [byId("large").dataset.label, (e) => largeName(matrix.column[e]), focus.kind !== "large"],
    ...AXES.slice(-axes).map((axis, i) => [axes > 1 ? axis : "relation", (e) => relation(e)[i], true]),
    [transposed ? "w·y" : "w·x", term, true],
  ].filter(([, , wanted]) => wanted);
  const few = entries.slice(0, MOST_TERMS);
  const rows = few.map((e) => `<tr>${columns.map(([, cell]) => `<td>${cell(e)}</td>`).join("")}</tr>`);
  const rest = entries.length - few.length;
  if (rest) rows.push(`<tr><td colspan="${columns.length}">and ${rest} more</td></tr>`);
  // The terms of an output sum up to it.
  const sum = focus.kind === (transposed ? "large" : "small") ? short((transposed ? back : y)[focus.index]) : null;
  if (sum !== null) rows.push(`<tr><td colspan="${columns.length - 1}">sum</td><td><b>${sum}</b></td></tr>`);
  const heads = columns.map(([head]) => `<th scope="col">${head}</th>`).join("");
  return `<thead><tr>${heads}</tr></thead><tbody>${rows.join("")}</tbody>`;
}

function idle() {
  return view.transposed
    ? "Point at an element of y: its row of C is the footprint that it adds to x̂. Point at one of x̂: its column is its row of Cᵀ."
    : "Point at an element of y: its row of C is its receptive field in x. Point at one of x: its column is its row of Cᵀ.";
}

function headline(focus, entries) {
  const { operator, transposed } = view;
  const count = entries.length === 1 ? "1 entry" : `${entries.length} entries`;
  switch (focus.kind) {
    case "small": {
      const [name, value] = [smallName(focus.index), short(operator.y[focus.index])];
      return transposed
        ? `${name} = ${value} is broadcast: row ${focus.index} of C, ${count}, is its footprint in x̂.`
        : `${name} = ${value}: row ${focus.index} of C, ${count}, is its receptive field in x.`;
    }
    case "large": {
      const value = short((transposed ? operator.back : operator.x)[focus.index]);
      const name = `${largeName(focus.index)} = ${value}`;
      return transposed
        ? `${name}: column ${focus.index} of C, ${count}, is row ${focus.index} of Cᵀ and gathers from y.`
        : `${name}: column ${focus.index} of C, ${count}, is row ${focus.index} of Cᵀ, the footprint of a scatter into y.`;
    }
    case "tap":
      return `${tapName(focus.index)} = ${weight(focus.index)} stands in C as ${count}.`;
    default: {
      const place = `C[${focus.row}, ${focus.column}]`;
      const pair = `${smallName(focus.row)} and ${largeName(focus.column)}`;
      if (!entries.length) return `${place} = 0: no tap connects ${pair}.`;
      const tap = view.matrix.tap[entries[0]];
      return `${place} = ${tapName(tap)} = ${weight(tap)} connects ${pair}.`;
    }
  }
}
