// Puts the parts together: a query becomes the page.

let latest = 0;

/** Shows the layer of a query; `record` makes it a step of the browser's history. */
async function show(query, record) {
  const turn = ++latest;
  if (record && location.hash.slice(1) !== query) history.pushState(null, "", `#${query}`);
  const transposed = fillFields(query);
  view.asked = transposed;
  const answer = await ask(query);
  // An answer that was overtaken by a later question is not wanted any more.
  if (turn !== latest) return;
  if (answer.error) return complain(answer.error);
  complain("");
  if (timer) pause();
  const same = view.operator !== null && ["small", "large", "kernel", "patterns", "rows"].every(
    (name) => JSON.stringify(view.operator[name]) === JSON.stringify(answer.operator[name]));
  Object.assign(view, {
    query,
    transposed,
    operator: answer.operator,
    counterpart: answer.counterpart,
    focus: null,
    step: null,
    pinned: same ? view.pinned : null,
    matrix: new Matrix(answer.operator),
  });
  draw();
  document.documentElement.dataset.shown = query;
  if (view.operator.w) return;
  const w = await askWeights(query);
  if (turn !== latest || !w) return;
  view.operator.w = w;
  draw();
}

/** Draws everything anew: another layer, other colours or another size. */
function draw() {
  measureGrids();
  measureMatrix();
  nameParts();
  mixColours();
  drawGrids();
  drawMatrix();
  showStep();
  light();
}

/** Says why there is nothing new to see; what is seen belongs to the layer before. */
function complain(why) {
  byId("message").textContent = why;
  byId("message").hidden = why === "";
  document.body.classList.toggle("stale", why !== "");
}

function listenToTheme() {
  const root = document.documentElement;
  const name = () => (byId("theme").textContent = isDark() ? "☀" : "☾");
  try {
    const kept = localStorage.getItem("theme");
    if (kept) root.dataset.theme = kept;
  } catch {
    // A browser that keeps nothing asks the system each time.
  }
  name();
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // As above.
    }
    name();
    if (view.operator) draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    name();
    if (view.operator) draw();
  });
}

listenToControls();
listenToGrids();
listenToMatrix();
listenToSteps();
listenToTheme();
let resized = null;
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => view.operator && draw(), 100);
});
show(location.hash.slice(1) || document.documentElement.dataset.start, false);
