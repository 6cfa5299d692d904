// Grids: x, w, y and the overlap map, as elements where their numbers can be read and as pictures where they cannot.

/** Cells narrower than this, in CSS pixels, show no number. */
const LEAST_CELL = 17;
/** More elements than this take a browser longer than a glance. */
const MOST_CELLS = 400;

/** What is in each panel now, by the panel's id: Cells or a Picture. */
const grids = {};
/** Room for cells in each panel, in CSS pixels. */
const rooms = {};

/** Before anything is written, as reading sizes afterwards would lay the page out twice. */
function measureGrids() {
  for (const id of ["large", "small", "kernel", "overlap"]) rooms[id] = byId(id).querySelector(".planes").clientWidth - 8;
}

/** Fills all grids with the numbers of the current operator. */
function drawGrids() {
  const { operator: { small, large, kernel, overlap, axes } } = view;
  for (const [id, shape] of [["large", large], ["small", small], ["overlap", [1, ...large.slice(1)]]]) {
    const title = (channel) => (shape[0] > 1 ? `channel ${channel}` : "");
    const label = byId(id).dataset.label;
    drawPlanes(id, { kind: id, blocks: range(0, shape[0]), shape: shape.slice(1), title, label });
    byId(id).querySelector(".shape").textContent = spelled([...(shape[0] > 1 ? [shape[0]] : []), ...shape.slice(-axes)]);
  }
  const most = overlap.reduce((a, b) => Math.max(a, b), 1);
  grids.overlap.shade(overlap.map((count) => count / most));
  grids.overlap.write(overlap);
  const counts = [...new Set(overlap)].sort((a, b) => a - b);
  byId("overlap").querySelector(".note").textContent = counts.length === 1
    ? `Every pixel of ${byId("large").dataset.label} is reached by ${counts[0]} taps.`
    : `Pixels of ${byId("large").dataset.label} are reached by ${listed(counts)} taps: ` +
      "a transposed convolution with equal weights leaves this pattern on a constant.";
  grids.kernel = null;
  drawKernel(0);
  byId("kernel").querySelector(".shape").textContent = spelled(kernel.slice(-axes));
  writeValues();
}

const listed = (numbers) => numbers.join(", ").replace(/, (\d+)$/, " or $1");
const spelled = (lengths) => lengths.join("×");

/** One block of taps per pair of channels; of very many weights only the block of one tap. */
function drawKernel(tap) {
  const { operator: { kernel, w } } = view;
  const taps = product(kernel.slice(2));
  const pairs = kernel[0] * kernel[1];
  const blocks = pairs * taps <= MOST_CELLS ? range(0, pairs) : [Math.floor(tap / taps)];
  const first = blocks[0] * taps;
  if (grids.kernel?.first === first) return;
  const title = (block) => (pairs > 1 ? `w[${Math.floor(block / kernel[1])}, ${block % kernel[1]}]` : "");
  drawPlanes("kernel", { kind: "tap", blocks, shape: kernel.slice(2), title, label: "w" });
  grids.kernel.tint();
  if (w) grids.kernel.write(w.slice(first, first + blocks.length * taps));
}

/** Puts the planes of a panel up: `blocks` of a shape [depth, height, width], in the order of their numbers. */
function drawPlanes(id, planes) {
  const { blocks, shape: [depth, height, width] } = planes;
  const fit = (length, lengths) => Math.floor(length / lengths) - 2;
  const tall = Math.max(70, 330 / (blocks.length * depth));
  const cell = Math.min(id === "overlap" ? 30 : 44, fit(rooms[id], width), fit(tall, height));
  const few = blocks.length * product(planes.shape) <= MOST_CELLS;
  const box = byId(id).querySelector(".planes");
  grids[id] = cell >= LEAST_CELL && few ? new Cells(box, planes, cell) : new Picture(box, planes, rooms[id]);
}

/** Planes as elements, each with its number. */
class Cells {
  constructor(box, planes, cell) {
    const { blocks, shape } = planes;
    const html = blocks.map((block) => Cells.html(planes, block)).join("");
    // The same cells as before only change their numbers.
    if (box.html !== html) box.innerHTML = html;
    box.html = html;
    box.style.setProperty("--cell", `${cell}px`);
    box.style.setProperty("--width", shape[2]);
    /** The index of the first cell. */
    this.first = blocks[0] * product(shape);
    this.elements = box.querySelectorAll(".cell");
    this.clear();
  }

  /** One block: a plane per depth. */
  static html({ kind, shape: [depth, height, width], title, label }, block) {
    let html = "";
    for (let d = 0; d < depth; d++) {
      const name = [title(block), depth > 1 ? `depth ${d}` : ""].filter(Boolean).join(", ");
      html += `<figure>${name ? `<figcaption>${name}</figcaption>` : ""}<div class="plane" role="grid" data-kind="${kind}" ` +
        `data-width="${width}" aria-label="${label}${name ? ", " + name : ""}">`;
      for (let h = 0; h < height; h++) {
        html += '<div role="row">';
        for (let i = 0; i < width; i++) {
          const index = ((block * depth + d) * height + h) * width + i;
          html += `<div class="cell" role="gridcell" data-index="${index}" tabindex="${h === 0 && i === 0 ? 0 : -1}"></div>`;
        }
        html += "</div>";
      }
      html += "</div></figure>";
    }
    return html;
  }

  /** Numbers from the first cell on; undefined leaves a cell empty. */
  write(values) {
    this.elements.forEach((element, i) => {
      const text = values[i] === undefined ? "" : short(values[i]);
      if (element.textContent !== text) element.textContent = text;
      element.classList.toggle("long", text.length > 3);
    });
  }

  /** Backgrounds by share of the most. */
  shade(shares) {
    this.elements.forEach((element, i) => element.style.setProperty("--share", shares[i]));
  }

  /** Every cell in the colour of its own tap. */
  tint() {
    this.elements.forEach((element, i) => Cells.colour(element, this.first + i));
  }

  static colour(element, tap) {
    element.style.setProperty("--tap", css(tapColour(tap)));
    element.style.setProperty("--on-tap", ink(tapColour(tap)));
  }

  clear() {
    this.elements.forEach((element) => element.classList.remove("lit", "focus", "pinned"));
  }

  /** Lights cells in the colours of their taps, and marks the one that is pointed at and the one that is kept. */
  light(lit, marks) {
    this.clear();
    for (const [index, tap] of lit) {
      const element = this.elements[index - this.first];
      if (!element) continue;
      element.classList.add("lit");
      Cells.colour(element, tap);
    }
    for (const [name, index] of Object.entries(marks)) this.elements[index - this.first]?.classList.add(name);
  }
}

/** The numbers of both sides, as far as the step mode has come. */
function writeValues() {
  const { operator, transposed, step, matrix } = view;
  let [large, small] = [transposed ? operator.back : operator.x, operator.y];
  if (step !== null && transposed) {
    large = new Array(large.length).fill(0);
    for (let e = 0; e < matrix.ofRow[step + 1]; e++) large[matrix.column[e]] = operator.partial ? operator.partial[e] : undefined;
  } else if (step !== null) {
    small = small.map((value, row) => (row <= step ? value : undefined));
  }
  grids.large.write(large);
  grids.small.write(small);
}

/** Lights what the entries connect, each in the colour of its tap. */
function lightGrids({ focus, entries }) {
  const { matrix, operator: { overlap }, pinned } = view;
  document.body.classList.toggle("lighting", focus !== null);
  if (entries.length) drawKernel(matrix.tap[entries[0]]);
  const lit = { small: new Map(), large: new Map(), kernel: new Map(), overlap: new Map() };
  for (const e of entries) {
    const tap = matrix.tap[e];
    // The cell that is pointed at keeps its own look.
    if (focus.kind !== "small") lit.small.set(matrix.row[e], tap);
    if (focus.kind !== "large") lit.large.set(matrix.column[e], tap);
    lit.kernel.set(tap, tap);
  }
  const cellsOf = (one) => ({
    small: one?.kind === "small" ? one.index : one?.row,
    large: one?.kind === "large" ? one.index : one?.column,
    kernel: one?.kind === "tap" ? one.index : undefined,
    overlap: one?.kind === "large" ? one.index % overlap.length : undefined,
  });
  const [pointedAt, kept] = [cellsOf(focus), cellsOf(pinned)];
  for (const id of Object.keys(lit)) grids[id].light(lit[id], { focus: pointedAt[id], pinned: kept[id] });
}

/** Planes whose cells light something; those of the overlap map do not. */
const planeOf = (event) => event.target.closest?.(".plane:not([data-kind=overlap])") ?? null;

/** What of the layer is under a pointer in a grid; null elsewhere. */
function focusUnder(event) {
  const plane = planeOf(event);
  const cell = event.target.closest?.(".cell");
  if (!plane || (plane.tagName !== "CANVAS" && !cell)) return null;
  const index = cell ? Number(cell.dataset.index) : plane.picture.indexAt(event);
  return index === null ? null : { kind: plane.dataset.kind, index };
}

function listenToGrids() {
  const stage = byId("stage");
  const follow = (event) => {
    const focus = focusUnder(event);
    if (focus) point(focus);
  };
  stage.addEventListener("pointerover", follow);
  stage.addEventListener("pointermove", (event) => event.target.tagName === "CANVAS" && follow(event));
  stage.addEventListener("pointerout", (event) => {
    if (planeOf(event) && event.pointerType === "mouse") point(null);
  });
  stage.addEventListener("click", (event) => {
    const focus = focusUnder(event);
    if (focus) pin(focus);
  });
  stage.addEventListener("focusin", (event) => {
    const { target } = event;
    const plane = planeOf(event);
    if (!plane || !target.matches(":focus-visible")) return;
    point({ kind: plane.dataset.kind, index: target === plane ? plane.picture.first : Number(target.dataset.index) });
  });
  stage.addEventListener("focusout", (event) => {
    if (planeOf(event)) point(null);
  });
  stage.addEventListener("keydown", moveInGrid);
}

/** Arrow keys go from cell to cell of a plane, Enter pins. */
function moveInGrid(event) {
  const plane = event.target.closest?.(".plane");
  if (!plane) return;
  const { kind } = plane.dataset;
  const cells = plane.picture ? null : [...plane.querySelectorAll(".cell")];
  const [width, count] = plane.picture ? plane.picture.extent() : [Number(plane.dataset.width), cells.length];
  const first = plane.picture ? plane.picture.first : Number(cells[0].dataset.index);
  const at = (plane.picture ? (view.focus?.kind === kind ? view.focus.index : first) : Number(event.target.dataset.index)) - first;
  if (event.key === "Enter") {
    event.preventDefault();
    if (kind !== "overlap") pin({ kind, index: first + at });
    return;
  }
  const to = {
    ArrowLeft: at % width ? at - 1 : at,
    ArrowRight: (at + 1) % width ? at + 1 : at,
    ArrowUp: at - width,
    ArrowDown: at + width,
    Home: at - (at % width),
    End: at - (at % width) + width - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to < 0 || to >= count) return;
  if (!cells) {
    if (kind !== "overlap") point({ kind, index: first + to });
    return;
  }
  cells[at].tabIndex = -1;
  cells[to].tabIndex = 0;
  cells[to].focus({ focusVisible: true });
}
