// @ts-check
// Events as they come. The page holds 2,000 rows and drops the oldest, paused or not; while it is
// paused it counts what waits. After an interruption it goes on where it was, by the number of what
// it had last.

import { is_session_alive, session_over } from "./core.js";
import { grouped, make } from "./row.js";

/** Most rows, shown or waiting. */
const MOST_ROWS = 2000;
/** Most notices. */
const MOST_NOTICES = 10;
/** How far one scrolls, in pixels, before that means to pause. */
const SCROLLED = 40;
/** The longest pause between two attempts to connect, in seconds. */
const LONGEST_PAUSE = 30;
/** How long a page is hidden before it lets go of its connection, in milliseconds. */
const HIDDEN = 10_000;

export function start() {
  const place = document.querySelector("#tail[data-tail]");
  const body = place?.querySelector("#rows");
  if (place instanceof HTMLElement && body instanceof HTMLTableSectionElement) {
    follow(place, body, place.dataset.tail ?? "");
  }
}

/**
 * @param {HTMLElement} place
 * @param {HTMLTableSectionElement} body
 * @param {string} address
 */
function follow(place, body, address) {
  /** @type {import("./row.js").Row[]} Newest last. */
  let fresh = [];
  let is_paused = false;
  /** How many wait, and of these how many are errors. Those that were dropped count too. */
  let waiting = { events: 0, errors: 0 };
  let of_second = 0;
  let frame = 0;

  const bar = document.createElement("p");
  bar.className = "tail-bar";
  const state = document.createElement("span");
  state.className = "state";
  state.setAttribute("role", "status");
  const rate = document.createElement("span");
  rate.className = "rate";
  const pause = document.createElement("button");
  pause.type = "button";
  pause.className = "pause";
  bar.append(state, " ", rate, " ", pause);
  place.prepend(bar);

  const draw = () => {
    frame = 0;
    if (is_paused || fresh.length === 0) return;
    const rows = document.createDocumentFragment();
    fresh.slice(-MOST_ROWS).reverse().forEach((row) => rows.append(make(row)));
    fresh = [];
    body.prepend(rows);
    while (body.rows.length > MOST_ROWS) body.rows[body.rows.length - 1].remove();
  };
  const soon = () => {
    if (frame === 0 && !document.hidden) frame = requestAnimationFrame(draw);
  };
  const show_pause = () => {
    const { events, errors } = waiting;
    pause.textContent = is_paused
      ? `paused: ${grouped(events)} newer, ${grouped(errors)} ${errors === 1 ? "error" : "errors"} - Resume`
      : "Pause";
    pause.setAttribute("aria-pressed", String(is_paused));
  };
  /** @param {boolean} paused */
  const set_paused = (paused) => {
    is_paused = paused;
    if (!paused && waiting.events > fresh.length) {
      const more = waiting.events - fresh.length;
      notice(`${grouped(more)} events came while the page was paused and aren't in the list.`);
    }
    waiting = { events: 0, errors: 0 };
    show_pause();
    if (!paused) draw();
  };
  pause.addEventListener("click", () => {
    if (is_paused) scrollTo(0, 0);
    set_paused(!is_paused);
  });
  show_pause();
  addEventListener("scroll", () => {
    if (!is_paused && scrollY > SCROLLED) set_paused(true);
  }, { passive: true });
  document.addEventListener("visibilitychange", soon);

  /** @param {import("./row.js").Row} row */
  const take = (row) => {
    of_second += 1;
    fresh.push(row);
    if (fresh.length > MOST_ROWS) fresh.shift();
    if (is_paused) {
      waiting.events += 1;
      waiting.errors += Number(row.level === "error" || row.level === "critical");
      return;
    }
    soon();
  };
  setInterval(() => {
    if (!document.hidden) rate.textContent = `${grouped(of_second)}/s`;
    of_second = 0;
    if (is_paused) show_pause();
  }, 1000);

  /** @param {{events: number, errors: number, since?: string, until?: string}} skipped */
  const skip = ({ events, errors, since, until }) => {
    of_second += events;
    if (is_paused) {
      waiting.events += events;
      waiting.errors += errors;
    }
    const query = new URLSearchParams(location.search);
    if (since !== undefined && until !== undefined) {
      query.set("since", since);
      query.set("until", until);
    }
    notice(`${grouped(events)} more events in a second aren't shown: `, `/events?${query}`);
  };

  // The number of what was had last, from which the next connection goes on.
  let last = new URL(address, location.origin).searchParams.get("last") ?? "0";
  let attempts = 0;
  let lost = /** @type {Date | undefined} */ (undefined);
  /** @type {EventSource | undefined} */
  let stream;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const connect = () => {
    clearTimeout(timer);
    stream?.close();
    const url = new URL(address, location.origin);
    url.searchParams.set("last", last);
    const mine = new EventSource(url);
    stream = mine;
    /**
     * @param {string} name
     * @param {(data: any) => void} what
     */
    const on = (name, what) => mine.addEventListener(name, (event) => {
      if (stream !== mine) return;
      if (event.lastEventId !== "") last = event.lastEventId;
      what(JSON.parse(event.data));
    });
    mine.addEventListener("open", () => {
      attempts = 0;
      lost = undefined;
      state.textContent = "live";
      state.dataset.state = "live";
      document.querySelector("#session-over")?.remove();
    });
    on("row", take);
    on("skipped", skip);
    on("source", ({ what }) => typeof what === "string" && notice(what));
    on("missed", ({ items }) => notice(`A gap: ${grouped(items)} things happened while this page ` +
      "wasn't connected, and are gone from memory."));
    on("end", () => {
      mine.close();
      state.textContent = "ended";
      state.dataset.state = "ended";
    });
    mine.addEventListener("error", async () => {
      if (stream !== mine) return;
      // A browser's own attempts would not say when they are, and end at a refusal.
      mine.close();
      lost ??= new Date();
      const since = lost.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      if (!await is_session_alive()) session_over();
      // Meanwhile nobody may have seen the page any more.
      if (stream !== mine) return;
      const wait = Math.min(2 ** attempts, LONGEST_PAUSE);
      attempts += 1;
      state.textContent = `not connected since ${since}, trying again in ${wait} s`;
      state.dataset.state = "lost";
      timer = setTimeout(connect, wait * 1000);
    });
  };
  const let_go = () => {
    clearTimeout(timer);
    stream?.close();
    stream = undefined;
  };
  // A browser has few connections to one server over HTTP/1.1: pages that nobody sees need none.
  let hidden = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  const look = () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(let_go, HIDDEN);
    else if (stream === undefined) connect();
  };
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", let_go);
  addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
  // A tab that is opened behind another is hidden from the start, which is no change.
  look();
}

/**
 * Says something above the list, and leads to where more of it is.
 * @param {string} text
 * @param {string} [address]
 */
function notice(text, address) {
  const place = document.querySelector("#notices");
  if (place === null) return;
  const line = document.createElement("p");
  line.className = "trouble";
  line.textContent = text;
  if (address !== undefined) {
    const link = document.createElement("a");
    link.href = address;
    link.textContent = "see all of them";
    line.append(link);
  }
  place.prepend(line);
  while (place.children.length > MOST_NOTICES) place.lastElementChild?.remove();
}
