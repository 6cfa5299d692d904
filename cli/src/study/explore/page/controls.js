// The layer's options as fields, and as the address of the page. Both are spelled as on the command line.

const fields = () => [...document.querySelectorAll("[data-option]")];
const flag = "transposed";

/** The query that the fields spell: in their order, defaults left out. */
function queryOfFields(transposed) {
  const parts = transposed ? [flag] : [];
  for (const field of fields()) {
    const value = field.value.replaceAll(/\s/g, "").replaceAll("×", "x");
    if (value !== "" && value !== field.dataset.default) parts.push(`${field.dataset.option}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
  }
  return parts.join("&");
}

/** Fills the fields from a query. */
function fillFields(query) {
  const options = new URLSearchParams(query);
  for (const field of fields()) {
    field.value = options.get(field.dataset.option) ?? field.dataset.default ?? "";
    field.closest(".hidden")?.toggleAttribute("hidden", field.value === "");
  }
  const transposed = options.has(flag);
  const padded = document.querySelector("[data-option=output-padding]");
  padded.closest(".field").classList.toggle("off", !transposed);
  padded.disabled = !transposed;
  const axes = (options.get("input") ?? "").split("x").length;
  byId("axes").value = String(axes);
  return transposed;
}

/** All numbers of a field one up or down, within what is allowed: 5x5 becomes 6x6, and 1,2x0 becomes 2,3x1. */
function stepField(field, by) {
  const option = field.dataset.option;
  if (exported) {
    const [low, high] = exported.ranges[option];
    const value = Math.max(low, Math.min(high, Number.parseInt(field.value, 10) + by));
    field.value = option === "input" ? Array(Number(byId("axes").value)).fill(value).join("x") : String(value);
  } else {
    const least = Number(field.dataset.least ?? 0);
    const text = field.value === "" ? String(least - (by > 0 ? 1 : 0)) : field.value;
    field.value = /^[\d,x]+$/.test(text) ? text.replaceAll(/\d+/g, (number) => Math.max(least, Number(number) + by)) : String(least);
  }
  change();
}

/** Changes the number of axes: the last ones stay, new ones are as long as the first. */
function changeAxes() {
  const axes = Number(byId("axes").value);
  for (const field of fields()) {
    const parts = field.value.split("x");
    if (field.dataset.option !== "input" && parts.length === 1) continue;
    if (!/^[\d,x]+$/.test(field.value)) continue;
    field.value = [...Array(Math.max(0, axes - parts.length)).fill(parts[0]), ...parts].slice(-axes).join("x");
  }
  change();
}

/** Asks for the layer of the fields. */
function change() {
  show(queryOfFields(view.asked), true);
}

function listenToControls() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("axes").addEventListener("change", changeAxes);
  for (const field of fields()) {
    Object.assign(field, { type: "text", spellcheck: false, autocapitalize: "off" });
    if (field.dataset.least !== undefined) addSteppers(field);
    field.addEventListener("change", change);
    field.addEventListener("keydown", (event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by || field.dataset.least === undefined) return;
      event.preventDefault();
      stepField(field, by);
    });
  }
  if (exported) limitToFile();
  for (const [id, transposed] of [["to-convolution", false], ["to-transposed", true]]) {
    byId(id).addEventListener("click", () => turn(transposed));
    byId(id).addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      turn(!view.transposed);
    });
  }
  window.addEventListener("hashchange", () => show(location.hash.slice(1) || document.documentElement.dataset.start, false));
}

/** A button on either side of a field. */
function addSteppers(field) {
  const name = field.closest(".field").querySelector("span").textContent;
  const button = (text, by, says) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text, className: "stepper", tabIndex: -1 });
    made.setAttribute("aria-label", `${says} ${name}`);
    made.addEventListener("click", (event) => {
      event.preventDefault();
      if (!field.disabled) stepField(field, by);
    });
    return made;
  };
  const box = document.createElement("span");
  box.className = "stepped";
  field.replaceWith(box);
  box.append(button("−", -1, "less"), field, button("+", 1, "more"));
}

/** An exported page has answers for its ranges only. */
function limitToFile() {
  byId("axes").disabled = true;
  for (const field of fields()) {
    const range = exported.ranges[field.dataset.option];
    if (range) field.readOnly = true;
    if (!range || range[0] === range[1]) {
      field.disabled = true;
      field.closest(".field").classList.add("fixed");
    }
  }
}

/** Exchanges convolution and transposed convolution: the same operator, read the other way. */
async function turn(transposed) {
  if (transposed === view.transposed) return view.asked === transposed ? undefined : show(view.query, true);
  if (!view.counterpart) {
    complain(`No ${transposed ? "transposed convolution" : "convolution"} has options that give this matrix.`);
    return;
  }
  await show(view.counterpart, true);
  byId(transposed ? "to-transposed" : "to-convolution").focus({ preventScroll: true });
}
