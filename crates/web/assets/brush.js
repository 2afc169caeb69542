// @ts-check
// Narrowing the time in the histogram: by dragging over it, and by keys.
//
// The bars are links without this. The picture says its times in `data-from` and `data-to`; what is
// chosen becomes the words `since` and `until`, and the server makes the address canonical.

/** Pixels under which a press is a click on a bar, and no drag. */
const CLICK = 5;

/** Makes each histogram of the page one that is dragged over. */
export function start() {
  for (const svg of document.querySelectorAll("svg[data-from][data-to]")) {
    if (svg instanceof SVGSVGElement) brush(svg);
  }
}

/** @param {SVGSVGElement} svg */
function brush(svg) {
  const from = Date.parse(svg.dataset.from ?? "");
  const to = Date.parse(svg.dataset.to ?? "");
  const bars = Number(svg.dataset.bars);
  const figure = svg.closest("figure");
  if (!(to > from) || !(bars > 0) || figure === null || figure.querySelector(".brush") !== null) return;

  const band = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  band.classList.add("band");
  band.setAttribute("y", "0");
  band.setAttribute("height", String(svg.viewBox.baseVal.height));
  const width = svg.viewBox.baseVal.width;
  // What is chosen, in bars: the first, and the one after the last.
  let first = 0;
  let end = 0;

  const keys = document.createElement("button");
  keys.type = "button";
  keys.className = "brush";
  keys.textContent = "narrow the time by keys";
  const said = document.createElement("output");
  said.className = "brush-said";
  svg.after(keys, said);

  const at = (/** @type {number} */ bar) => new Date(from + ((to - from) * bar) / bars);
  const show = () => {
    const [low, high] = [Math.min(first, end), Math.max(first, end)];
    band.setAttribute("x", String((low * width) / bars));
    band.setAttribute("width", String(((high - low) * width) / bars));
    if (!band.isConnected) svg.append(band);
    said.textContent = `${at(low).toISOString()} to ${at(high).toISOString()}`;
  };
  const give_up = () => {
    band.remove();
    said.textContent = "";
  };
  const apply = () => {
    const [low, high] = [Math.min(first, end), Math.max(first, end)];
    if (high > low) narrow(at(low), at(high));
  };

  /** @param {PointerEvent} event */
  const bar_under = (event) => {
    const box = svg.getBoundingClientRect();
    const part = (event.clientX - box.left) / Math.max(box.width, 1);
    return Math.min(Math.max(part, 0), 1) * bars;
  };
  let pressed = /** @type {number | undefined} */ (undefined);
  let is_drag = false;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = event.clientX;
    is_drag = false;
    first = Math.floor(bar_under(event));
  });
  svg.addEventListener("pointermove", (event) => {
    if (pressed === undefined) return;
    if (!is_drag && Math.abs(event.clientX - pressed) < CLICK) return;
    if (!is_drag) svg.setPointerCapture(event.pointerId);
    is_drag = true;
    const now = bar_under(event);
    end = now >= first ? Math.ceil(now) : Math.floor(now);
    show();
  });
  svg.addEventListener("pointerup", () => {
    pressed = undefined;
    if (is_drag) apply();
  });
  svg.addEventListener("pointercancel", () => {
    pressed = undefined;
    give_up();
  });
  // The end of a drag is no click on the bar that it ends over; nor is a bar dragged away.
  svg.addEventListener("click", (event) => is_drag && event.preventDefault(), true);
  svg.addEventListener("dragstart", (event) => event.preventDefault());

  keys.setAttribute("aria-description",
    "left and right move the selection, with Shift its end; Enter applies it, Escape gives it up");
  keys.addEventListener("focus", () => {
    if (first === end) [first, end] = [Math.floor(bars / 4), Math.ceil((bars * 3) / 4)];
    show();
  });
  keys.addEventListener("blur", give_up);
  keys.addEventListener("click", apply);
  keys.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") {
      keys.blur();
    } else if (step !== undefined && event.shiftKey) {
      end = Math.min(Math.max(end + step, first + 1), bars);
      show();
    } else if (step !== undefined && first + step >= 0 && end + step <= bars) {
      [first, end] = [first + step, end + step];
      show();
    } else if (step === undefined) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
}

/**
 * Goes to the same question within a span of time.
 * @param {Date} from
 * @param {Date} to
 */
function narrow(from, to) {
  const query = new URLSearchParams(location.search);
  ["q", "after", "before"].forEach((name) => query.delete(name));
  query.set("since", from.toISOString());
  // `until` is the last moment, and the end of a span isn't in it any more.
  query.set("until", new Date(to.getTime() - 1).toISOString());
  location.assign(`${location.pathname}?${query}`);
}
