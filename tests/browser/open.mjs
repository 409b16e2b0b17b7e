// A headless Chromium with one page open, and everything it complained about or asked for.

import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function openPage(path, options = {}) {
  const executablePath = [process.env.CHROMIUM ?? "", ...PLACES].find((place) => existsSync(place));
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  const { width = 1280, height = 800, dark = false, calm = true, scripts = true, scale = 1, bare = false } = options;
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? "dark" : "light", javaScriptEnabled: scripts,
    reducedMotion: calm ? "reduce" : "no-preference", deviceScaleFactor: scale,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  });
  const seen = { console: [], errors: [], requests: [], dialogs: [] };
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("dialog", (dialog) => { seen.dialogs.push(dialog.message()); dialog.dismiss(); });
  await page.goto(pathToFileURL(path).href);
  if (scripts && !bare) await drawn(page);
  return { browser, page, seen };
}

// Waits until the drawing shows what was asked for.
export async function drawn(page) {
  await page.waitForFunction(() => document.documentElement.dataset.drawn !== undefined, null, { timeout: 120_000 });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

// Choose a node from the list by its name.
export async function pick(page, name) {
  await page.fill("#search", name);
  await page.locator("#nodes [role=option]").first().click();
  await page.fill("#search", "");
}
