// @ts-check
// Keys, beside Tab and Enter, which reach everything. They act only where no field has the focus,
// and can be turned off; that stays so in this browser.

import { copy } from "./core.js";

/** Where it is kept that keys are off. */
const OFF = "quarry-keys-off";

/** The columns whose values can be asked for, and the word for each. */
const COLUMNS = [
  { name: "id", word: "id" },
  { name: "level", word: "level" },
  { name: "on", word: "on" },
  { name: "log", word: "log" },
];

let column = 0;

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (localStorage.getItem(OFF) !== null || is_field(event.target)) return;
    if (press(event.key, event.target)) event.preventDefault();
  });
  // A row that has the focus shows which of its values `i` and `x` are about.
  document.addEventListener("focusin", mark);
  offer_switch();
}

/** @param {EventTarget | null} target */
function is_field(target) {
  return target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input, textarea, select"));
}

/**
 * Whether a key did something.
 * @param {string} key
 * @param {EventTarget | null} target
 */
function press(key, target) {
  // Space and Enter are the control's that has the focus.
  const is_control = target instanceof Element && target.closest("a, button, summary") !== null;
  switch (key) {
    case "/": return focus("#q");
    case "j": case "ArrowDown": return step(1);
    case "k": case "ArrowUp": return step(-1);
    case "ArrowRight": return choose(1);
    case "ArrowLeft": return choose(-1);
    case "Escape": return back();
    case "i": return ask_for("");
    case "x": return ask_for("-");
    case "[": return follow("a[rel=next]");
    case "]": return follow("a[rel=prev]");
    case "-": return follow("nav.times a:nth-of-type(2)");
    case "+": return narrow();
    case ".": return follow("button.waiting:not([hidden])");
    case " ": return !is_control && follow("button.pause");
    case "c": return copy_text(document.querySelector(".copy code")?.textContent);
    case "y": return copy_text(location.href);
    case "?": return follow("a[href='/help']");
    default: return false;
  }
}

/** @returns {HTMLAnchorElement[]} */
function rows() {
  return [...document.querySelectorAll("#rows tr.row td.time a")]
    .filter((link) => link instanceof HTMLAnchorElement);
}

/** @param {number} by */
function step(by) {
  const all = rows();
  const here = all.findIndex((link) => link === document.activeElement);
  // From elsewhere the first row, or the last, is next.
  const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by;
  const link = all[next];
  if (link === undefined) return false;
  link.focus();
  link.scrollIntoView({ block: "nearest" });
  return true;
}

function row_here() {
  return document.activeElement?.closest("#rows tr.row") ?? null;
}

/** @param {number} by */
function choose(by) {
  if (row_here() === null) return false;
  column = (column + by + COLUMNS.length) % COLUMNS.length;
  mark();
  return true;
}

function mark() {
  document.querySelectorAll("td.chosen").forEach((cell) => cell.classList.remove("chosen"));
  row_here()?.querySelector(`td.${COLUMNS[column].name}`)?.classList.add("chosen");
}

/**
 * Asks for events with, or without, the chosen value of the row that has the focus.
 * @param {"" | "-"} sign
 */
function ask_for(sign) {
  const cell = row_here()?.querySelector(`td.${COLUMNS[column].name}`);
  const box = document.querySelector("#q");
  if (!(cell instanceof HTMLElement) || !(box instanceof HTMLInputElement)) return false;
  const value = COLUMNS[column].name === "level" ? level(cell) : cell.textContent ?? "";
  if (value === "") return false;
  box.value = `${box.value} ${sign}${COLUMNS[column].word}:${quoted(value)}`.trim();
  box.form?.requestSubmit();
  return true;
}

/** @param {HTMLElement} cell */
function level(cell) {
  const chip = cell.querySelector(".chip");
  return [...chip?.classList ?? []].find((name) => name !== "chip") ?? "";
}

/** A value as it stands in the box. @param {string} value */
function quoted(value) {
  return /[\s"]/.test(value) ? `"${value.replaceAll("\"", "\\\"")}"` : value;
}

function back() {
  const up = document.querySelector("a[rel=up]");
  if (up === null) {
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    return false;
  }
  history.length > 1 && document.referrer.startsWith(location.origin) ? history.back() : follow("a[rel=up]");
  return true;
}

/** Narrows the time by keys, where there is a histogram. */
function narrow() {
  if (document.querySelector("svg[data-from]") === null) return false;
  import("./brush.js").then((brush) => {
    brush.start();
    focus("button.brush");
  });
  return true;
}

/** @param {string} selector */
function focus(selector) {
  const element = document.querySelector(selector);
  if (!(element instanceof HTMLElement)) return false;
  element.focus();
  if (element instanceof HTMLInputElement) element.select();
  return true;
}

/** @param {string} selector */
function follow(selector) {
  const element = document.querySelector(selector);
  if (!(element instanceof HTMLElement)) return false;
  element.click();
  return true;
}

/** @param {string | null | undefined} text */
function copy_text(text) {
  if (!text) return false;
  copy(text);
  return true;
}

/** On the page that says what keys there are: the switch for them. */
function offer_switch() {
  const place = document.querySelector("#keys");
  if (place === null) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "keys-switch";
  const show = () => {
    const is_off = localStorage.getItem(OFF) !== null;
    button.setAttribute("aria-pressed", String(!is_off));
    button.textContent = is_off ? "Keys are off: turn them on" : "Keys are on: turn them off";
  };
  button.addEventListener("click", () => {
    localStorage.getItem(OFF) === null ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF);
    show();
  });
  show();
  place.append(button);
}
