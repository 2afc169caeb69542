// @ts-check
// Rows that scripts make: clones of the page's template, filled as text. Nothing parses HTML here.

/**
 * What the server sends of a row; all of it is text to be shown.
 * @typedef {{address: string, identity: string, time: string, utc: string, level: string,
 *   chip: string, on: string, log: string, id: string, message: string, bare: boolean,
 *   more: string[], rules: Rule[], other_rules: number, late?: boolean}} Row
 *
 * @typedef {{address: string, level: string, title: string}} Rule
 */

/** A row as the server would have written it. @param {Row} row */
export function make(row) {
  const template = document.querySelector("template#row");
  const first = template instanceof HTMLTemplateElement ? template.content.firstElementChild : null;
  if (first === null) throw new Error("the page has no template of a row");
  const tr = /** @type {HTMLTableRowElement} */ (document.importNode(first, true));
  const part = (/** @type {string} */ selector) =>
    /** @type {HTMLElement} */ (tr.querySelector(selector));
  tr.dataset.id = row.identity;
  const link = /** @type {HTMLAnchorElement} */ (part("td.time a"));
  // An address of ours, whatever was sent.
  link.setAttribute("href", row.address.startsWith("/event?") ? row.address : "#");
  link.title = row.utc;
  link.textContent = row.time;
  const chip = part("td.level .chip");
  chip.className = `chip ${row.level}`;
  chip.textContent = row.chip;
  part("td.on bdi").textContent = row.on;
  part("td.log bdi").textContent = row.log;
  part("td.id").textContent = row.id;
  tr.querySelectorAll("td.more bdi").forEach((cell, n) => {
    cell.textContent = row.more[n] ?? "";
  });
  part("td.message > bdi").textContent = row.message;
  part("td.message").className = row.bare ? "message bare" : "message";
  if (row.rules.length > 0) part("td.message").prepend(rules(row));
  if (row.late) tr.classList.add("late");
  return tr;
}

/** The detection rules of a row. @param {Row} row */
function rules(row) {
  const all = document.createElement("span");
  all.className = "rules";
  for (const { address, level, title } of row.rules) {
    const link = document.createElement("a");
    link.className = `rule ${level}`;
    link.setAttribute("href", address.startsWith("/events?") ? address : "#");
    link.title = `${level || "a rule"}: only events that match it`;
    const text = document.createElement("bdi");
    text.textContent = title;
    link.append(text);
    all.append(link, " ");
  }
  if (row.other_rules > 0) {
    const others = document.createElement("span");
    others.className = "count";
    others.textContent = `+${row.other_rules}`;
    all.append(others, " ");
  }
  return all;
}

/** A time with any number of digits as text that compares as times do. @param {string} utc */
export function sortable(utc) {
  const [seconds, digits = ""] = utc.replace("Z", "").split(".");
  return `${seconds}.${digits.padEnd(9, "0")}`;
}

/** Whole numbers as people read them. @param {number} number */
export function grouped(number) {
  return number.toLocaleString("en-US");
}
