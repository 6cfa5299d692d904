// The picture of C: a square per entry, coloured by tap. It is the same in both directions; only what rows and columns are to
// the layer changes.

/** Device pixels per entry, device pixels per CSS pixel, and the CSS pixels that there are in width and height. */
const sheet = { cell: 1, ratio: 1, room: 0, tall: 0 };
/** From here on squares have gaps, and from there on numbers. */
const GAPS = 6;
const NUMBERS = 24;

/** Before anything is written: see measureGrids. */
function measureMatrix() {
  sheet.room = Math.max(140, byId("frame").clientWidth - 24);
  sheet.tall = Math.max(260, Math.min(560, window.innerHeight * 0.62));
}

function drawMatrix() {
  const { operator, matrix } = view;
  const [rows, columns] = [product(operator.small), product(operator.large)];
  const ratio = window.devicePixelRatio || 1;
  const fit = (length, cells) => Math.floor((length * ratio) / cells);
  sheet.cell = Math.max(1, Math.min(44 * ratio, fit(sheet.room, columns), fit(sheet.tall, rows)));
  // Matrices wider than the screen are drawn at a pixel per entry and shrunk.
  sheet.ratio = Math.max(ratio, (columns * sheet.cell) / sheet.room);
  for (const canvas of [byId("base"), byId("lit")]) {
    canvas.width = columns * sheet.cell;
    canvas.height = rows * sheet.cell;
    canvas.style.width = `${canvas.width / sheet.ratio}px`;
    canvas.style.height = `${canvas.height / sheet.ratio}px`;
  }
  byId("sheet").style.width = byId("base").style.width;
  byId("sheet").style.height = byId("base").style.height;
  const context = byId("base").getContext("2d");
  drawPixels(context, rows, columns);
  if (gap()) drawGaps(context, rows, columns);
  if (showsNumbers()) for (let e = 0; e < matrix.row.length; e++) drawNumber(context, e);
  byId("matrix").querySelector(".shape").textContent = `${rows} × ${columns}, ${matrix.row.length} entries`;
}

const gap = () => (sheet.cell >= GAPS ? Math.max(1, Math.round(sheet.cell / 16)) : 0);
const showsNumbers = () => sheet.cell / sheet.ratio >= NUMBERS;

/** One pixel per entry, enlarged: as fast for a million of them as for one. */
function drawPixels(context, rows, columns) {
  const { row, column, tap } = view.matrix;
  const picture = sheet.cell === 1 ? context.canvas : new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer).fill(word(palette.sheet));
  const [colours, places] = [palette.tapWords, palette.tapWords.length];
  for (let e = 0; e < row.length; e++) words[row[e] * columns + column[e]] = colours[tap[e] % places];
  picture.getContext("2d").putImageData(pixels, 0, 0);
  if (picture === context.canvas) return;
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, columns * sheet.cell, rows * sheet.cell);
}

function drawGaps(context, rows, columns) {
  const { width, height } = context.canvas;
  context.fillStyle = css(palette.sheet);
  for (let row = 1; row <= rows; row++) context.fillRect(0, row * sheet.cell - gap(), width, gap());
  for (let column = 1; column <= columns; column++) context.fillRect(column * sheet.cell - gap(), 0, gap(), height);
}

function drawEntry(context, e) {
  const { matrix } = view;
  context.fillStyle = css(tapColour(matrix.tap[e]));
  context.fillRect(matrix.column[e] * sheet.cell, matrix.row[e] * sheet.cell, sheet.cell - gap(), sheet.cell - gap());
  if (showsNumbers()) drawNumber(context, e);
}

function drawNumber(context, e) {
  const { matrix } = view;
  const text = weight(matrix.tap[e]);
  if (text.length > 4) return;
  const middle = (index) => index * sheet.cell + (sheet.cell - gap()) / 2;
  context.fillStyle = ink(tapColour(matrix.tap[e]));
  context.font = `${Math.round(sheet.cell * 0.42)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, middle(matrix.column[e]), middle(matrix.row[e]) + 1);
}

/** Dims the picture and draws what is lit over it. */
function lightMatrix({ focus, entries }) {
  const canvas = byId("lit");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", nameOfMatrix(entries));
  if (!focus) return;
  context.globalAlpha = 0.8;
  context.fillStyle = css(palette.sheet);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  band(context, focus);
  for (const e of entries) drawEntry(context, e);
}

function nameOfMatrix(entries) {
  const { operator, matrix } = view;
  const name = `C, ${product(operator.small)} rows, ${product(operator.large)} columns`;
  if (!entries.length) return `${name}.`;
  const places = entries.slice(0, 64).map((e) => `${matrix.row[e]},${matrix.column[e]}`).join(" ");
  return `${name}. Lit, row and column: ${places}${entries.length > 64 ? ` and ${entries.length - 64} more` : ""}.`;
}

/** The row, the column or both of a focus. */
function band(context, focus) {
  const { width, height } = byId("lit");
  const line = Math.max(sheet.cell, Math.ceil(2 * sheet.ratio));
  const row = focus.kind === "small" ? focus.index : focus.row;
  const column = focus.kind === "large" ? focus.index : focus.column;
  context.fillStyle = css(palette.band);
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
