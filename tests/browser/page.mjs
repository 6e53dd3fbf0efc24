// A page of a running hub in headless Chromium, with everything noted that a person would not see but should know of.
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** Opens the page. `faults` fills with console errors, uncaught exceptions, failed requests and answers from 400 on. */
export async function open(address, executablePath) {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const page = await browser.newPage({
    viewport: { width: 1400, height: 900 },
    colorScheme: "dark",
  });
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) =>
    faults.push(`exception: ${error.stack ?? error}`),
  );
  page.on("requestfailed", (request) => {
    // The page calls off requests whose answers nobody waits for any more.
    const reason = request.failure()?.errorText ?? "";
    if (reason !== "net::ERR_ABORTED")
      faults.push(`request: ${request.url()} ${reason}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400)
      faults.push(`answer: ${response.status()} ${response.url()}`);
    if (new URL(response.url()).origin !== new URL(address).origin)
      faults.push(`foreign: ${response.url()}`);
  });
  await page.goto(address);
  return { browser, page, faults };
}

export const byId = (page, id, more = "") =>
  page.locator(`[data-testid="${id}"]${more}`);

/** Waits until `look` gives something true; on time-out says what it waited for. */
export async function until(what, seconds, look) {
  const end = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end)
      throw new Error(`waited ${seconds} s in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** The middle of an element, in pixels of the viewport. */
export async function middle(locator) {
  const box = await locator.boundingBox();
  if (box === null) throw new Error("the element is not on the page");
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** What the diamonds of the latency chart say about themselves, with the place of each. */
export function diamonds(page) {
  return page.locator('[data-testid="exemplar"]').evaluateAll((all) =>
    all.map((one) => {
      const box = one.getBoundingClientRect();
      const { trace, state, value, error } = one.dataset;
      const place = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
      return {
        trace,
        state,
        value: Number(value),
        isError: error === "true",
        ...place,
      };
    }),
  );
}
