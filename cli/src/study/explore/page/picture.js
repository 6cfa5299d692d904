// Grids whose cells are too small for numbers, or too many for elements: one canvas each.

/** Sides of a cell, and height of all, in CSS pixels. The smallest have no lines between them. */
const LARGEST = 16;
const LINED = 4;
const SMALLEST = 2;
const TALL = 330;

/** Planes as a picture. It answers the calls that Cells answers. */
class Picture {
  constructor(box, { kind, blocks, shape: [depth, height, width], label }, room) {
    this.ratio = window.devicePixelRatio || 1;
    this.first = blocks[0] * depth * height * width;
    this.size = [height, width];
    this.count = blocks.length * depth;
    this.layOut(room * this.ratio);
    const lines = Math.ceil(this.count / this.perLine);
    this.canvas = document.createElement("canvas");
    this.canvas.width = Math.min(this.count, this.perLine) * this.pitch(1) - this.gap;
    this.canvas.height = lines * this.pitch(0) - this.gap;
    this.canvas.style.width = `${this.canvas.width / this.ratio}px`;
    this.canvas.className = "plane";
    this.canvas.dataset.kind = kind;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${label}, ${this.count * height * width} elements; arrow keys go from one to the next`);
    this.canvas.picture = this;
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.words = new Uint32Array(this.pixels.data.buffer);
    this.colours = new Uint32Array(this.count * height * width).fill(word(palette.cell));
    this.isTinted = false;
    box.html = null;
    box.replaceChildren(this.canvas);
  }

  /** The largest cells with which all planes are in view, in device pixels. */
  layOut(room) {
    const [smallest, lined, largest] = [SMALLEST, LINED, LARGEST].map((side) => Math.round(side * this.ratio));
    const fits = (cell) => {
      this.cell = cell;
      this.gap = Math.ceil(cell / 2);
      this.perLine = Math.max(1, Math.floor((room + this.gap) / this.pitch(1)));
      const lines = Math.ceil(this.count / this.perLine);
      return this.pitch(1) - this.gap <= room && lines * this.pitch(0) - this.gap <= TALL * this.ratio;
    };
    // Where not even the smallest fit, one scrolls, and can as well see lines.
    if (!range(0, largest - smallest + 1).some((less) => fits(largest - less))) fits(lined);
    this.side = this.cell - (this.cell >= lined ? 1 : 0);
  }

  /** From one plane to the next, downwards (0) or to the right (1). */
  pitch(axis) {
    return this.size[axis] * this.cell + this.gap;
  }

  /** The corner of a cell, counted from the first. */
  corner(i) {
    const [height, width] = this.size;
    const [plane, row, column] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    return [
      (plane % this.perLine) * this.pitch(1) + column * this.cell,
      Math.floor(plane / this.perLine) * this.pitch(0) + row * this.cell,
    ];
  }

  /** The index of the cell under a pointer; null between planes. */
  indexAt(event) {
    const [height, width] = this.size;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    const [line, place] = [Math.floor(y / this.pitch(0)), Math.floor(x / this.pitch(1))];
    const [row, column] = [Math.floor((y % this.pitch(0)) / this.cell), Math.floor((x % this.pitch(1)) / this.cell)];
    const plane = line * this.perLine + place;
    const inside = row >= 0 && row < height && column >= 0 && column < width && place < this.perLine && plane < this.count;
    return inside ? this.first + (plane * height + row) * width + column : null;
  }

  /** Cells of a line, and of all. */
  extent() {
    const [height, width] = this.size;
    return [width, this.count * height * width];
  }

  /** Numbers are read elsewhere: in the words about what is lit. */
  write() {}

  shade(shares) {
    shares.forEach((share, i) => (this.colours[i] = word(palette.heat, 0.06 + 0.74 * share)));
  }

  tint() {
    this.isTinted = true;
    for (let i = 0; i < this.colours.length; i++) this.colours[i] = tapWord(this.first + i);
  }

  light(lit, marks) {
    // Where all cells have colours, those that are not lit fade.
    const fades = this.isTinted && (lit.size > 0 || marks.focus !== undefined);
    for (let i = 0; i < this.colours.length; i++) this.fill(i, fades ? faded(this.colours[i]) : this.colours[i]);
    for (const [index, tap] of lit) this.fill(index - this.first, tapWord(tap));
    this.context.putImageData(this.pixels, 0, 0);
    this.context.strokeStyle = css(palette.accent);
    this.context.lineWidth = 2 * this.ratio;
    for (const [name, index] of Object.entries(marks)) {
      if (index === undefined) continue;
      const [x, y] = this.corner(index - this.first);
      this.context.setLineDash(name === "pinned" ? [3 * this.ratio, 2 * this.ratio] : []);
      this.context.strokeRect(x, y, this.side, this.side);
    }
  }

  fill(i, colour) {
    if (i < 0 || i >= this.colours.length) return;
    const [x, y] = this.corner(i);
    for (let line = 0; line < this.side; line++) {
      const start = (y + line) * this.canvas.width + x;
      this.words.fill(colour, start, start + this.side);
    }
  }
}
