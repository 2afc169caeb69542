// What every test needs: the page's program, a browser, and people who sign in.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";

const modules = createRequire(join(needed("QUARRY_NODE_MODULES"), "/"));
const playwright = modules("playwright-core");
const AXE = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

/** Where screenshots go. */
export const SHOTS = needed("QUARRY_SHOTS");
mkdirSync(SHOTS, { recursive: true });

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} isn't set; run these by: cargo xtask test browser`);
  return value;
}

/** The program of the example `page`, and its commands. */
export class Program {
  static async start() {
    const program = new Program();
    program.child = spawn(needed("QUARRY_PAGE"), {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, RUST_BACKTRACE: "0" },
    });
    program.lines = createInterface({ input: program.child.stdout })[Symbol.asyncIterator]();
    Object.assign(program, JSON.parse((await program.lines.next()).value));
    return program;
  }

  /** Gives a command and returns its answer. */
  async tell(command) {
    this.child.stdin.write(`${command}\n`);
    return JSON.parse((await this.lines.next()).value);
  }

  stop() {
    this.child.stdin.end();
    return new Promise((done) => this.child.once("exit", done));
  }
}

/** Longest wait for one thing, in milliseconds; a machine that builds beside it is slow. */
export const LONGEST = 120_000;

/** A browser of Debian's. */
export function browser() {
  return playwright.chromium.launch({
    executablePath: needed("QUARRY_CHROMIUM"),
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    // The browser's cache of pages is what going back uses; the driver switches it off.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}

/** What the tests of a file that has called `set_up` run against. */
export let program;
export let chromium;

/** Starts the program and a browser before a file's first test, and ends them after its last. */
export function set_up() {
  before(async () => {
    program = await Program.start();
    chromium = await browser();
  });
  after(async () => {
    await chromium?.close();
    await program?.stop();
  });
}

/** A page whose every console message, report and foreign request is a fault. */
export async function watched(context) {
  context.setDefaultTimeout(LONGEST);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} of ${response.url()}`);
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["127.0.0.1", "localhost"].includes(url.hostname) && url.protocol !== "data:") {
      faults.push(`a request to ${url.origin}`);
    }
  });
  return { page, faults };
}

/** Waits until the page's scripts do what they do; before that keys act as without scripts. */
export function ready(page) {
  return page.locator("html[data-scripts=ready]").waitFor({ state: "attached" });
}

/** Goes to a page and waits until it is whole and its scripts do what they do. */
export async function visit(page, url) {
  await page.goto(url, { waitUntil: "load" });
  await ready(page);
}

/** Signs in as the program's owner. The form sends itself; without scripts it has a button. */
export async function as_owner(program, page, has_scripts = true) {
  await page.goto(await program.tell("visit"), { waitUntil: "commit" });
  if (!has_scripts) await page.getByRole("button", { name: "Go on" }).click();
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

/** A page of a new context, signed in as the program's owner. */
export async function signed_in(options = {}) {
  const context = await chromium.newContext(options);
  const { page, faults } = await watched(context);
  await as_owner(program, page, options.javaScriptEnabled ?? true);
  return { context, page, faults };
}

/** Signs in with a password, over TLS. */
export async function as_person(program, page, name, password = "right") {
  await page.goto(`${program.accounts}/sign-in`);
  await page.getByLabel("Account").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** What axe finds against WCAG 2.2 AA, in short. */
export async function violations(page) {
  // The page's policy lets no script in; the driver's own world is not the page's.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
    // eslint-disable-next-line no-undef
    const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => ({
      id,
      nodes: nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary}`),
    }));
  });
  return found;
}

/** Goes back or forward. A page out of the browser's cache has no `load`, so its address is awaited. */
export async function travel(page, by, url) {
  await page.evaluate((by) => setTimeout(() => history.go(by)), by);
  await page.waitForURL(url, { waitUntil: "commit" });
  await page.waitForFunction(() => document.readyState === "complete" &&
    !document.body.classList.contains("unproven"));
}

export function shot(page, name) {
  return page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: false });
}
