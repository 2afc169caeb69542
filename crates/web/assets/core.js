// @ts-check
// What every page does: it says what happened, copies, comes back as it was left, knows when its
// session is over, and starts what else it needs. Pages work without it.

/** Says something to everybody, in one polite place. @param {string} text */
export function say(text) {
  let place = document.querySelector("#said");
  if (place === null) {
    place = document.createElement("p");
    place.id = "said";
    place.setAttribute("role", "status");
    document.querySelector("main")?.prepend(place);
  }
  place.textContent = text;
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // Without permission, or over plain HTTP from elsewhere, the text is there to be selected.
    say("This browser doesn't let a page copy. Select the text and copy it.");
  }
}

/** A button beside each text that is there to be copied. */
function offer_copies() {
  for (const code of document.querySelectorAll(".copy code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.setAttribute("aria-label", `copy: ${code.parentElement?.firstChild?.textContent?.trim() ?? ""}`);
    button.addEventListener("click", () => copy(absolute(code.textContent ?? "")));
    code.after(" ", button);
  }
}

/** An address of ours whole, any other text as it is. @param {string} text */
function absolute(text) {
  return text.startsWith("/") ? new URL(text, location.origin).href : text;
}

/** Says that the session is over, and leads to where it begins again. What is shown stays. */
export function session_over() {
  if (document.querySelector("#session-over") !== null) return;
  const line = document.createElement("p");
  line.id = "session-over";
  line.setAttribute("role", "alert");
  const link = document.createElement("a");
  link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in again";
  line.append("Your session is over. ", link, ", and this page goes on where it was.");
  document.querySelector("main")?.prepend(line);
}

/** Whether the session lives. Where nobody answers, it may. */
export async function is_session_alive() {
  try {
    const answer = await fetch("/session", { cache: "no-store" });
    return answer.status !== 401;
  } catch {
    return true;
  }
}

/** The row that had the focus last; browsers take it away before a page is left. */
let row_in_focus = "";

/** @param {EventTarget | null} target */
function row_of(target) {
  const row = target instanceof Element ? target.closest("tr.row") : null;
  return row instanceof HTMLElement ? row.dataset.id ?? "" : "";
}

/** Gives the focus to a row, where it is there. @param {string} id */
function focus_row(id) {
  const row = [...document.querySelectorAll("#rows tr.row")]
    .find((row) => row instanceof HTMLElement && row.dataset.id === id);
  row?.querySelector("a")?.focus({ preventScroll: true });
}

/** The row that has the focus is remembered with the place in history, and has it again. */
function restore_focus() {
  row_in_focus = row_of(document.activeElement);
  addEventListener("focusin", (event) => {
    row_in_focus = row_of(event.target);
  });
  addEventListener("pagehide", () => {
    history.replaceState({ ...history.state, focus: row_in_focus, scroll: scrollY }, "");
  });
  const { focus, scroll } = history.state ?? {};
  if (focus === undefined && scroll === undefined) return;
  // The page comes in parts; the row may be in a later one.
  const restore = () => {
    if (focus) focus_row(focus);
    if (typeof scroll === "number") scrollTo(0, scroll);
  };
  document.readyState === "complete" ? restore() : addEventListener("load", restore, { once: true });
}

function keep_to_session() {
  addEventListener("pageshow", async (event) => {
    if (!event.persisted) return;
    // Out of the browser's cache: nothing is shown to who has signed out since. It keeps its layout,
    // so that scroll and focus stay.
    document.body.classList.add("unproven");
    if (!await is_session_alive()) return location.reload();
    document.body.classList.remove("unproven");
    if (document.activeElement === document.body && row_in_focus) focus_row(row_in_focus);
  });
}

/** Starts what the whole page needs; nothing is asked for that it doesn't. */
async function start() {
  offer_copies();
  const has = (/** @type {string} */ selector) => document.querySelector(selector) !== null;
  (await import("./keys.js")).start();
  // Whoever comes near the histogram can drag over it then.
  const figure = document.querySelector("figure.histogram");
  const brush = async () => (await import("./brush.js")).start();
  figure?.addEventListener("pointerover", brush, { once: true });
  figure?.addEventListener("focusin", brush, { once: true });
  if (has("[data-ask]")) (await import("./live.js")).start();
  if (has("[data-tail]")) (await import("./tail.js")).start();
  // Until here keys and the pointer do what they do without scripts. Tests wait for this.
  document.documentElement.dataset.scripts = "ready";
}

restore_focus();
keep_to_session();
// A page comes in parts.
if (document.readyState === "complete") start();
else addEventListener("load", start, { once: true });
