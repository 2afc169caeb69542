// @ts-check
// What every page starts. Pages work without it.

import * as brush from "./brush.js";
import * as keys from "./keys.js";
import * as page from "./page.js";

page.start();
keys.start();
// The histogram comes in a later part of the page.
if (document.readyState === "complete") brush.start();
else addEventListener("load", brush.start, { once: true });
addEventListener("load", async () => {
  // Only pages that need them ask for these.
  if (document.querySelector("[data-ask]") !== null) (await import("./live.js")).start();
  if (document.querySelector("[data-tail]") !== null) (await import("./tail.js")).start();
}, { once: true });
