// Grids of cells: x, w, y and the overlap map.

const MOST_WEIGHTS = 400;

/** Fills all grids with the numbers of the current operator. */
function drawGrids() {
  const { operator: { small, large, kernel, overlap } } = view;
  fill(byId("large"), "large", large, byId("large").dataset.label);
  fill(byId("small"), "small", small, byId("small").dataset.label);
  fill(byId("overlap"), "overlap", [1, ...large.slice(1)], "overlap");
  drawKernel(0);
  writeValues();
  const most = Math.max(1, ...overlap);
  const counts = [...new Set(overlap)].sort((a, b) => a - b);
  byId("overlap").querySelectorAll(".cell").forEach((cell, i) => {
    cell.textContent = overlap[i];
    cell.style.setProperty("--share", overlap[i] / most);
  });
  byId("overlap").querySelector(".note").textContent = counts.length === 1
    ? `Every pixel of ${byId("large").dataset.label} is reached by ${counts[0]} taps.`
    : `Pixels of ${byId("large").dataset.label} are reached by ${listed(counts)} taps: ` +
      "a transposed convolution with equal weights leaves this pattern on a constant.";
  byId("kernel").querySelector(".shape").textContent = spelled(kernel.slice(2).slice(-view.operator.axes));
}

const listed = (numbers) => numbers.join(", ").replace(/, (\d+)$/, " or $1");

/** One block of taps per pair of channels; of very many weights only the block of one tap. */
function drawKernel(tap) {
  const { operator: { kernel, w } } = view;
  const taps = product(kernel.slice(2));
  const blocks = w.length <= MOST_WEIGHTS ? range(0, w.length / taps) : [Math.floor(tap / taps)];
  const panel = byId("kernel");
  if (panel.dataset.first === String(blocks[0]) && panel.drawn === w) return;
  panel.dataset.first = blocks[0];
  panel.drawn = w;
  const html = blocks.map((block) => {
    const [small, large] = [Math.floor(block / kernel[1]), block % kernel[1]];
    const title = w.length > taps ? `w[${small}, ${large}]` : "";
    return planes("tap", kernel.slice(2), block * taps, title, "w");
  });
  panel.querySelector(".planes").innerHTML = html.join("");
  scale(panel, kernel.slice(2), blocks.length);
  for (const cell of panel.querySelectorAll(".cell")) {
    const colour = tapColour(Number(cell.dataset.index));
    cell.textContent = short(w[cell.dataset.index]);
    cell.style.setProperty("--tap", css(colour));
    cell.style.setProperty("--on-tap", ink(colour));
  }
}

function fill(panel, kind, shape, label) {
  const plane = product(shape.slice(1));
  const html = range(0, shape[0]).map((channel) =>
    planes(kind, shape.slice(1), channel * plane, shape[0] > 1 ? `channel ${channel}` : "", label));
  panel.querySelector(".planes").innerHTML = html.join("");
  panel.querySelector(".shape").textContent = spelled([...(shape[0] > 1 ? [shape[0]] : []), ...shape.slice(-view.operator.axes)]);
  scale(panel, shape.slice(1), shape[0]);
}

/** Planes of cells, one per depth; `first` is the index of the first cell. */
function planes(kind, [depth, height, width], first, title, label) {
  let html = "";
  for (let d = 0; d < depth; d++) {
    const name = [title, depth > 1 ? `depth ${d}` : ""].filter(Boolean).join(", ");
    html += `<figure>${name ? `<figcaption>${name}</figcaption>` : ""}<div class="plane" role="grid" data-kind="${kind}" ` +
      `data-width="${width}" aria-label="${label}${name ? ", " + name : ""}">`;
    for (let h = 0; h < height; h++) {
      html += '<div role="row">';
      for (let i = 0; i < width; i++) {
        const index = first + (d * height + h) * width + i;
        html += `<div class="cell" role="gridcell" data-index="${index}" tabindex="${index === first && d === 0 ? 0 : -1}"></div>`;
      }
      html += "</div>";
    }
    html += "</div></figure>";
  }
  return html;
}

/** Cells as large as they fit, down to a few pixels. */
function scale(panel, [depth, height, width], count) {
  const room = panel.querySelector(".planes").clientWidth - 8;
  const largest = panel.id === "overlap" ? 30 : 44;
  const tall = Math.max(70, 330 / (count * depth));
  const fit = (length, lengths) => Math.floor(length / lengths) - 2;
  const cell = Math.max(4, Math.min(largest, fit(room, width), fit(tall, height)));
  panel.style.setProperty("--cell", `${cell}px`);
  panel.classList.toggle("tiny", cell < 17);
  panel.querySelectorAll(".plane").forEach((plane) => plane.style.setProperty("--width", width));
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
  for (const [id, values] of [["large", large], ["small", small]]) {
    const cells = byId(id).querySelectorAll(".planes .cell");
    values.forEach((value, i) => {
      const text = value === undefined ? "" : short(value);
      if (cells[i].textContent !== text) cells[i].textContent = text;
      cells[i].classList.toggle("long", text.length > 3);
    });
  }
}

/** Lights cells: those that the entries connect, each in the colour of its tap. */
function lightGrids({ focus, entries }) {
  const { matrix } = view;
  document.querySelectorAll(".cell.lit, .cell.focus, .cell.pinned, .cell.done").forEach((cell) => {
    cell.classList.remove("lit", "focus", "pinned", "done");
  });
  document.body.classList.toggle("lighting", focus !== null);
  if (entries.length) drawKernel(matrix.tap[entries[0]]);
  const cells = {
    small: byId("small").querySelectorAll(".planes .cell"),
    large: byId("large").querySelectorAll(".planes .cell"),
    overlap: byId("overlap").querySelectorAll(".cell"),
  };
  const taps = new Map();
  byId("kernel").querySelectorAll(".cell").forEach((cell) => taps.set(Number(cell.dataset.index), cell));
  const colour = (cell, tap) => {
    const value = tapColour(tap);
    cell.classList.add("lit");
    cell.style.setProperty("--tap", css(value));
    cell.style.setProperty("--on-tap", ink(value));
  };
  for (const e of entries) {
    const tap = matrix.tap[e];
    // The cell that is pointed at keeps its own look.
    if (focus.kind !== "small") colour(cells.small[matrix.row[e]], tap);
    if (focus.kind !== "large") colour(cells.large[matrix.column[e]], tap);
    taps.get(tap)?.classList.add("lit");
  }
  const mark = (one, name) => {
    if (one?.kind === "small" || one?.kind === "large") cells[one.kind][one.index]?.classList.add(name);
    if (one?.kind === "tap") taps.get(one.index)?.classList.add(name);
  };
  mark(focus, "focus");
  mark(view.pinned, "pinned");
  if (focus?.kind === "large") cells.overlap[focus.index % cells.overlap.length]?.classList.add("focus");
  if (focus?.kind === "place") {
    cells.small[focus.row].classList.add("focus");
    cells.large[focus.column].classList.add("focus");
  }
}

const cellOf = (event) => event.target.closest?.(".plane[data-kind]:not([data-kind=overlap]) .cell");

function focusOf(cell) {
  return { kind: cell.closest(".plane").dataset.kind, index: Number(cell.dataset.index) };
}

function listenToGrids() {
  const stage = byId("stage");
  stage.addEventListener("pointerover", (event) => {
    const cell = cellOf(event);
    if (cell) point(focusOf(cell));
  });
  stage.addEventListener("pointerout", (event) => {
    if (cellOf(event) && event.pointerType === "mouse") point(null);
  });
  stage.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell) pin(focusOf(cell));
  });
  stage.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (!cell || !cell.matches(":focus-visible")) return;
    point(focusOf(cell));
  });
  stage.addEventListener("focusout", (event) => {
    if (cellOf(event)) point(null);
  });
  stage.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.(".plane .cell");
    if (!cell) return;
    const plane = cell.closest(".plane");
    if (event.key === "Enter") {
      event.preventDefault();
      if (plane.dataset.kind !== "overlap") pin(focusOf(cell));
      return;
    }
    const cells = [...plane.querySelectorAll(".cell")];
    const width = Number(plane.dataset.width);
    const at = cells.indexOf(cell);
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
    if (!cells[to]) return;
    cell.tabIndex = -1;
    cells[to].tabIndex = 0;
    cells[to].focus({ focusVisible: true });
  });
}

const spelled = (lengths) => lengths.join("×");
