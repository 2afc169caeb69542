// @ts-check
// Servers that are asked now: their rows come in beside those that the page has already.
//
// Rows go straight in until the reader has scrolled, focused or selected something. After that they
// wait behind a button, so that nothing moves.

import { is_session_alive, session_over } from "./core.js";
import { grouped, make, sortable } from "./row.js";

/** Most rows that the page holds. */
const MOST_ROWS = 2000;
/** How often the line of sources is read out at most, in milliseconds. */
const LINE_EVERY = 3000;

export function start() {
  const list = document.querySelector("section.list[data-ask]");
  if (!(list instanceof HTMLElement)) return;
  const body = list.querySelector("#rows");
  if (!(body instanceof HTMLTableSectionElement)) return;
  ask(list, body, list.dataset.ask ?? "");
}

/**
 * @param {HTMLElement} list
 * @param {HTMLTableSectionElement} body
 * @param {string} address
 */
function ask(list, body, address) {
  const is_newest_first = !new URLSearchParams(location.search).has("order");
  const known = new Set(
    [...body.rows].map((row) => row.dataset.id ?? ""));
  /** @type {import("./row.js").Row[]} */
  let waiting = [];
  const stream = new EventSource(address);

  const show = document.createElement("button");
  show.type = "button";
  show.className = "waiting";
  show.hidden = true;
  show.addEventListener("click", () => {
    waiting.forEach(insert);
    waiting = [];
    show.hidden = true;
  });
  list.prepend(show);

  const stop = document.createElement("button");
  stop.type = "button";
  stop.className = "stop";
  stop.textContent = "Stop";
  stop.addEventListener("click", () => finish("stopped"));
  const summary = document.querySelector("#summary");
  if (summary === null) list.prepend(stop);
  else summary.append(" ", stop);

  /** @param {import("./row.js").Row} row */
  const insert = (row) => {
    const later = list.querySelector(".later");
    if (later instanceof HTMLElement && later.hidden) {
      later.hidden = false;
      list.querySelector(".nothing")?.remove();
    }
    const tr = make(row);
    const key = sortable(row.utc);
    const after = [...body.rows].find((other) => {
      const theirs = sortable(other.querySelector("td.time a")?.getAttribute("title") ?? "");
      return is_newest_first ? theirs < key : theirs > key;
    });
    body.insertBefore(tr, after ?? null);
    if (body.rows.length > MOST_ROWS) body.rows[body.rows.length - 1].remove();
  };

  stream.addEventListener("row", (event) => {
    /** @type {import("./row.js").Row} */
    const row = JSON.parse(event.data);
    // What comes from a server and was stored before is shown once.
    if (known.has(row.identity)) return;
    known.add(row.identity);
    if (!is_reading(body)) return insert(row);
    waiting.push(row);
    if (waiting.length > MOST_ROWS) waiting.shift();
    const servers = new Set(waiting.map((row) => row.on)).size;
    show.textContent = `${grouped(waiting.length)} newer from ${servers} ` +
      `${servers === 1 ? "server" : "servers"} - show`;
    show.hidden = false;
  });
  stream.addEventListener("sources", (event) => {
    const { line, failed } = JSON.parse(event.data);
    say_sources(line, failed);
  });
  stream.addEventListener("waiting", (event) => say_sources(JSON.parse(event.data).line));
  stream.addEventListener("end", () => finish(""));
  stream.addEventListener("error", async () => {
    // A browser would ask all servers once more by itself.
    finish("the connection was lost");
    if (!await is_session_alive()) session_over();
  });
  addEventListener("pagehide", () => stream.close());

  /** @param {string} why */
  function finish(why) {
    stream.close();
    stop.remove();
    if (why !== "") say_sources(`${latest}; ${why}`);
  }
}

/** Whether rows that come in would move what somebody looks at. @param {HTMLElement} body */
function is_reading(body) {
  const selection = document.getSelection();
  const is_selected = selection !== null && !selection.isCollapsed &&
    body.contains(selection.anchorNode);
  return scrollY > 0 || body.contains(document.activeElement) || is_selected;
}

let latest = document.querySelector("#sources")?.textContent ?? "";

/**
 * What failed is named together with the line that counts it.
 * @param {string} line
 * @param {{what: string, remedy: string | null, names: string[]}[]} [failed]
 */
function say_sources(line, failed) {
  latest = line;
  const place = document.querySelector("#sources");
  if (place === null) return;
  place.textContent = line;
  if (failed !== undefined) show_failed(failed);
  read_out(place);
}

let last_said = -LINE_EVERY;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let later;

/** Has the line of sources read out, no oftener than it can be. @param {Element} place */
function read_out(place) {
  if (later !== undefined) return;
  let said = document.querySelector("#sources-said");
  if (said === null) {
    said = document.createElement("span");
    said.id = "sources-said";
    said.className = "hidden";
    said.setAttribute("aria-live", "polite");
    place.after(said);
  }
  const region = said;
  later = setTimeout(() => {
    later = undefined;
    last_said = performance.now();
    region.textContent = latest;
  }, Math.max(0, last_said + LINE_EVERY - performance.now()));
}

let failed_shown = "";

/** @param {{what: string, remedy: string | null, names: string[]}[]} failed */
function show_failed(failed) {
  const text = JSON.stringify(failed);
  if (text === failed_shown) return;
  failed_shown = text;
  const summary = document.querySelector("section.summary");
  if (summary === null) return;
  let place = summary.querySelector(".troubles");
  if (failed.length === 0) return place?.remove();
  if (place === null) {
    place = document.createElement("div");
    place.className = "troubles";
    place.setAttribute("role", "status");
    summary.append(place);
  }
  place.replaceChildren(...failed.map(({ what, remedy, names }) => {
    const trouble = document.createElement("div");
    trouble.className = "trouble";
    const line = document.createElement("p");
    const cause = document.createElement("strong");
    cause.textContent = what;
    line.append(cause, ": ");
    names.slice(0, 12).forEach((name, n) => {
      const text = document.createElement("bdi");
      text.textContent = name;
      line.append(n > 0 ? ", " : "", text);
    });
    if (names.length > 12) line.append(` and ${names.length - 12} more`);
    trouble.append(line);
    if (remedy !== null) {
      const advice = document.createElement("p");
      advice.className = "remedy";
      advice.textContent = remedy;
      trouble.append(advice);
    }
    return trouble;
  }));
}
