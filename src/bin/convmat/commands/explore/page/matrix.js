// The picture of C: a square per entry, coloured by tap. It is the same in both directions; only what rows and columns are to
// the layer changes.

/** Device pixels per entry, and CSS pixels per device pixel. */
const sheet = { cell: 1, ratio: 1 };
/** From here on squares have gaps, and from there on numbers. */
const GAPS = 6;
const NUMBERS = 24;

function drawMatrix() {
  const { operator, matrix } = view;
  const [rows, columns] = [product(operator.small), product(operator.large)];
  const ratio = window.devicePixelRatio || 1;
  const room = Math.max(140, byId("frame").clientWidth - 24);
  const tall = Math.max(260, Math.min(560, window.innerHeight * 0.62));
  sheet.cell = Math.max(1, Math.min(44 * ratio, Math.floor((room * ratio) / columns), Math.floor((tall * ratio) / rows)));
  // Matrices wider than the screen are drawn at a pixel per entry and shrunk.
  sheet.ratio = Math.max(ratio, (columns * sheet.cell) / room);
  for (const canvas of [byId("base"), byId("lit")]) {
    canvas.width = columns * sheet.cell;
    canvas.height = rows * sheet.cell;
    canvas.style.width = `${canvas.width / sheet.ratio}px`;
    canvas.style.height = `${canvas.height / sheet.ratio}px`;
  }
  byId("sheet").style.width = byId("base").style.width;
  byId("sheet").style.height = byId("base").style.height;
  const context = byId("base").getContext("2d");
  context.fillStyle = colourOf("--sheet");
  context.fillRect(0, 0, columns * sheet.cell, rows * sheet.cell);
  if (sheet.cell < GAPS) drawPixels(context, rows, columns);
  else for (let e = 0; e < matrix.row.length; e++) drawEntry(context, e);
  byId("matrix").querySelector(".shape").textContent =
    `${rows} × ${columns}, ${matrix.row.length} entries`;
}

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One pixel per entry, enlarged: as fast for a million of them as for one. */
function drawPixels(context, rows, columns) {
  const { matrix, operator } = view;
  const places = product(operator.kernel.slice(2));
  const colours = Uint32Array.from(range(0, places), (tap) => {
    const [r, g, b] = tapColour(tap);
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [columns, rows];
  const pixels = picture.getContext("2d").createImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer);
  for (let e = 0; e < matrix.row.length; e++) words[matrix.row[e] * columns + matrix.column[e]] = colours[matrix.tap[e] % places];
  picture.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, columns * sheet.cell, rows * sheet.cell);
}

function drawEntry(context, e) {
  const { matrix, operator } = view;
  const gap = sheet.cell >= GAPS ? Math.max(1, Math.round(sheet.cell / 16)) : 0;
  const [x, y] = [matrix.column[e] * sheet.cell, matrix.row[e] * sheet.cell];
  const colour = tapColour(matrix.tap[e]);
  context.fillStyle = css(colour);
  context.fillRect(x, y, sheet.cell - gap, sheet.cell - gap);
  const css_cell = sheet.cell / sheet.ratio;
  if (css_cell < NUMBERS) return;
  const text = short(operator.w[matrix.tap[e]]);
  if (text.length > 4) return;
  context.fillStyle = ink(colour);
  context.font = `${Math.round(sheet.cell * 0.42)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x + (sheet.cell - gap) / 2, y + (sheet.cell - gap) / 2 + 1);
}

/** Dims the picture and draws what is lit over it. */
function lightMatrix({ focus, entries }) {
  const { matrix } = view;
  const canvas = byId("lit");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const lit = entries.map((e) => `${matrix.row[e]},${matrix.column[e]}`);
  canvas.setAttribute("aria-label", nameOfMatrix(lit));
  if (!focus) return;
  context.globalAlpha = 0.8;
  context.fillStyle = colourOf("--sheet");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  band(context, focus);
  for (const e of entries) drawEntry(context, e);
}

function nameOfMatrix(lit) {
  const { operator } = view;
  const name = `C, ${product(operator.small)} rows, ${product(operator.large)} columns`;
  if (!lit.length) return `${name}.`;
  return `${name}. Lit, row and column: ${lit.slice(0, 64).join(" ")}${lit.length > 64 ? ` and ${lit.length - 64} more` : ""}.`;
}

/** The row, the column or both of a focus. */
function band(context, focus) {
  const { width, height } = byId("lit");
  const line = Math.max(sheet.cell, Math.ceil(2 * sheet.ratio));
  const row = focus.kind === "small" ? focus.index : focus.row;
  const column = focus.kind === "large" ? focus.index : focus.column;
  context.fillStyle = colourOf("--band");
  const shift = (line - sheet.cell) / 2;
  if (row !== undefined) context.fillRect(0, row * sheet.cell - shift, width, line);
  if (column !== undefined) context.fillRect(column * sheet.cell - shift, 0, line, height);
}

/** The place in C under a pointer. */
function placeAt(event) {
  const box = byId("lit").getBoundingClientRect();
  const scale = sheet.ratio / sheet.cell;
  const [rows, columns] = [product(view.operator.small), product(view.operator.large)];
  const clip = (value, end) => Math.max(0, Math.min(end - 1, Math.floor(value * scale)));
  return { kind: "place", row: clip(event.clientY - box.top, rows), column: clip(event.clientX - box.left, columns) };
}

function listenToMatrix() {
  const canvas = byId("lit");
  const follow = (event) => view.operator && point(placeAt(event));
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", follow);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
  canvas.addEventListener("focusin", () => {
    if (canvas.matches(":focus-visible")) point({ kind: "place", row: 0, column: 0 });
  });
  canvas.addEventListener("focusout", () => point(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const { row, column } = view.focus?.kind === "place" ? view.focus : { row: 0, column: 0 };
    const [rows, columns] = [product(view.operator.small), product(view.operator.large)];
    const clip = (value, end) => Math.max(0, Math.min(end - 1, value));
    point({ kind: "place", row: clip(row + step[0], rows), column: clip(column + step[1], columns) });
  });
}
