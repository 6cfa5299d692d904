// The step mode: row after row of C. A convolution gathers an output per step, a transposed convolution scatters an input.

const PACE = 700;
let timer = null;

function lastStep() {
  return product(view.operator.small) - 1;
}

/** Goes to a step, or with null to the whole result. */
function goTo(step) {
  view.step = step === null ? null : Math.max(0, Math.min(lastStep(), step));
  view.pinned = null;
  view.focus = null;
  writeValues();
  showStep();
  light();
}

function showStep() {
  const { step } = view;
  byId("step").max = lastStep();
  byId("step").value = step ?? lastStep();
  byId("whole").disabled = step === null;
  byId("play").textContent = timer ? "Pause" : "Play";
  byId("play").setAttribute("aria-pressed", String(timer !== null));
  byId("progress").textContent = step === null ? "" : `${step + 1} of ${lastStep() + 1}`;
  document.body.classList.toggle("stepping", step !== null);
}

function play() {
  if (timer) return pause();
  // Long layers in about half a minute.
  const pace = Math.max(40, Math.min(PACE, 30000 / (lastStep() + 1)));
  timer = setInterval(() => {
    if (view.step === lastStep()) return pause();
    goTo(view.step === null ? 0 : view.step + 1);
  }, pace);
  goTo(view.step === null || view.step === lastStep() ? 0 : view.step);
}

function pause() {
  clearInterval(timer);
  timer = null;
  showStep();
}

function listenToSteps() {
  byId("play").addEventListener("click", play);
  byId("back").addEventListener("click", () => goTo((view.step ?? lastStep() + 1) - 1));
  byId("forward").addEventListener("click", () => goTo((view.step ?? -1) + 1));
  byId("step").addEventListener("input", () => goTo(Number(byId("step").value)));
  byId("whole").addEventListener("click", () => {
    pause();
    goTo(null);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      pause();
      goTo(null);
    }
    // Where a space means something already, it keeps its meaning.
    if (event.key !== " " || event.target.closest("input:not([type=range]), button, select, summary")) return;
    event.preventDefault();
    play();
  });
}
