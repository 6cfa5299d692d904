// What the page shows now, and what of it is lit.

const view = {
  query: "",
  transposed: false,
  /** The direction of the latest question, which may have no answer. */
  asked: false,
  operator: null,
  matrix: null,
  counterpart: null,
  /** What is pointed at: {kind: "small" | "large" | "tap", index}, or {kind: "place", row, column} in the matrix. */
  focus: null,
  /** A focus that stays while the pointer moves on: pairs are formed with it. */
  pinned: null,
  /** The row of C that the step mode is at; null outside of it. */
  step: null,
};

/** Entries that a focus lights, by index. */
function entriesOf(focus) {
  const { matrix } = view;
  if (!focus) return [];
  switch (focus.kind) {
    case "small": return matrix.inRow(focus.index);
    case "large": return matrix.inColumn(focus.index);
    case "tap": return matrix.withTap(focus.index);
    default: {
      const entry = matrix.at(focus.row, focus.column);
      return entry < 0 ? [] : [entry];
    }
  }
}

/** The place in C where the row of one focus crosses the column of another. */
function crossing(one, other) {
  const index = (kind) => [one, other].find((focus) => focus?.kind === kind)?.index;
  const [row, column] = [index("small"), index("large")];
  return row === undefined || column === undefined ? null : { kind: "place", row, column };
}

/** The focus that is shown: the pair of a pinned cell and one of the other side, else what is pointed at, else the step. */
function shown() {
  const { focus, pinned, step } = view;
  return crossing(focus, pinned) ?? focus ?? pinned ?? (step === null ? null : { kind: "small", index: step });
}

/** Lights a focus everywhere. */
function light() {
  const focus = shown();
  const lit = { focus, entries: entriesOf(focus) };
  lightGrids(lit);
  lightMatrix(lit);
  describe(lit);
}

let scheduled = false;
function point(focus) {
  view.focus = focus;
  // Pointers move more often than screens are drawn.
  if (!scheduled) {
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      light();
    });
  }
}

/** Keeps a focus, or lets it go; a cell of the other side completes a pair. */
function pin(focus) {
  const pair = crossing(focus, view.pinned);
  const same = view.pinned?.kind === focus.kind && view.pinned.index === focus.index;
  view.pinned = pair || same ? null : focus;
  point(pair ?? (same ? null : focus));
}

/** The colours of the page as [r, g, b], and those of the taps: read once, as both take long to find. */
const palette = { tap: [], tapWords: new Uint32Array(0) };

function mixColours() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  for (const [key, name] of [["sheet", "sheet"], ["band", "band"], ["cell", "cell-back"], ["accent", "accent"]]) {
    palette[key] = channels(named(name));
  }
  palette.heat = named("heat").split(" ").map(Number);
  // One hue per place in the kernel, the same in all channels.
  const places = product(view.operator.kernel.slice(2));
  const [saturation, lightness] = isDark() ? [0.55, 0.58] : [0.7, 0.62];
  palette.tap = range(0, places).map((place) => hsl((360 * (place + 0.05)) / places, saturation, lightness));
  palette.tapWords = Uint32Array.from(palette.tap, (colour) => word(colour));
}

const tapColour = (tap) => palette.tap[tap % palette.tap.length];
const tapWord = (tap) => palette.tapWords[tap % palette.tapWords.length];

function hsl(hue, saturation, lightness) {
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const a = saturation * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

/** A colour as the four bytes of a pixel. */
const word = ([r, g, b], alpha = 1) => ((Math.round(255 * alpha) << 24) | (b << 16) | (g << 8) | r) >>> 0;
const faded = (colour) => ((colour & 0xffffff) | (64 << 24)) >>> 0;
const css = (colour) => `rgb(${colour.join(" ")})`;
/** Black or white, whichever is read more easily on a colour. */
const ink = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 130 ? "#111" : "#fff");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
