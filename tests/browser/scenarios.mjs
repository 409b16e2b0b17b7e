// What is done with a page, and what is read off it afterwards.

import { drawn } from "./open.mjs";

const text = (page, selector) => page.locator(selector).first().innerText();
const panel = (page) => text(page, "#panel");
const nodes = (page) => page.evaluate(() => Number(document.documentElement.dataset.drawn));
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);

// Where a node of this text is drawn, in pixels of the window.
const place = (page, label) => page.evaluate((wanted) => {
  const box = document.getElementById("drawing").getBoundingClientRect();
  const { cy } = document.getElementById("drawing")._cyreg;
  const node = cy.nodes().filter((n) => n.data("label").split("\n").includes(wanted))[0];
  const { x, y } = node.renderedPosition();
  return { x: box.x + x, y: box.y + y };
}, label);

async function clickNode(page, label) {
  const { x, y } = await place(page, label);
  await page.mouse.click(x, y);
}

const look = (page) => page.evaluate(() => {
  const { cy } = document.getElementById("drawing")._cyreg;
  return { ground: getComputedStyle(document.body).backgroundColor, node: cy.nodes()[0].style("background-color"),
    theme: document.documentElement.dataset.theme };
});

async function load(page) {
  return { title: await page.title(), heading: await text(page, "h1"), nodes: await nodes(page), panel: await panel(page),
    list: await page.locator("#nodes [role=option]").allInnerTexts() };
}

async function click(page, label) {
  await clickNode(page, label);
  const result = { panel: await panel(page), said: await text(page, "#said") };
  if (await page.getByRole("tab").count()) {
    await page.getByRole("tab", { name: "LLVM" }).click();
    result.llvm = await text(page, "[role=tabpanel]");
    await page.keyboard.press("ArrowRight");
    result.cuda = await text(page, "[role=tabpanel]");
  }
  return result;
}

async function search(page, wanted) {
  await page.fill("#search", wanted);
  const found = await page.locator("#nodes [role=option]").allInnerTexts();
  const heading = await text(page, "#list-title");
  await page.press("#search", "Enter");
  await drawn(page);
  return { found, heading, panel: await panel(page), nodes: await nodes(page), focused: await focused(page) };
}

async function levels(page) {
  const result = {};
  for (const level of ["primitive", "program", "symbol"]) {
    await page.check(`#levels input[value=${level}]`);
    await drawn(page);
    result[level] = { nodes: await nodes(page), kinds: await page.locator("#legend li").allInnerTexts() };
  }
  return result;
}

async function fold(page) {
  const counts = [await nodes(page)];
  const count = async () => { await drawn(page); counts.push(await nodes(page)); };
  await page.click("#collapse");
  await count();
  await page.locator("#nodes [role=option]", { hasText: "×" }).first().click();
  const stack = await panel(page);
  await page.locator("#panel button", { hasText: "Unfold" }).first().click();
  await count();
  await page.locator("#panel button", { hasText: "Fold" }).first().click();
  await count();
  await page.selectOption("#stacks", "op");
  await count();
  await page.selectOption("#boxes", "kernel");
  await count();
  await page.click("#collapse");
  await count();
  await page.click("#expand");
  await count();
  return { counts, stack };
}

// Without a mouse, from the start of the page.
async function keys(page) {
  const steps = [];
  const press = async (key) => {
    await page.keyboard.press(key);
    steps.push([key, await focused(page), await text(page, "#panel h2"), await text(page, "#said")]);
  };
  await press("/");
  await page.keyboard.type("fc1");
  for (const key of ["Enter", "Escape", "Escape", "ArrowUp", "ArrowRight", "ArrowDown", "Enter"]) await press(key);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  for (const key of ["Escape", "Escape", "2"]) await press(key);
  await drawn(page);
  const level = await page.locator("#levels input:checked").inputValue();
  await press("?");
  const dialog = await page.locator("#keys").isVisible();
  await page.keyboard.press("Escape");
  await press("t");
  const order = [];
  await page.evaluate(() => { document.activeElement.blur(); window.getSelection().removeAllRanges(); });
  for (let k = 0; k < 16; k += 1) {
    await page.keyboard.press("Tab");
    order.push(await focused(page));
  }
  await page.locator("#nodes").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  const second = await text(page, "#panel h2");
  await page.keyboard.press("Enter");
  return { steps, outline, level, dialog, theme: (await look(page)).theme, order, second, last: await focused(page) };
}

async function dark(page) {
  const before = await look(page);
  await page.click("#theme");
  return { before, after: await look(page) };
}

async function hostile(page) {
  await page.click("#expand");
  await drawn(page);
  const result = { pwned: await page.evaluate(() => window.pwned ?? null), images: await page.locator("img, b, i").count(),
    scripts: await page.locator("script").count(), panels: [] };
  const options = page.locator("#nodes [role=option]");
  for (let k = 0; k < await options.count(); k += 1) {
    await options.nth(k).click();
    result.panels.push(await panel(page));
  }
  return { ...result, list: await options.allInnerTexts(), after: await page.evaluate(() => window.pwned ?? null) };
}

async function plain(page) {
  return { app: await page.locator("#app").isVisible(), rows: await page.locator("#plain tbody tr").count(),
    text: await text(page, "#plain") };
}

async function print(page) {
  await page.emulateMedia({ media: "print" });
  return { table: await page.locator("#plain").isVisible(), tools: await page.locator("#search").isVisible() };
}

async function large(page) {
  const folded = await nodes(page);
  await page.click("#expand");
  await drawn(page);
  const unfolded = await nodes(page);
  await page.fill("#search", "u4321");
  await page.press("#search", "Enter");
  const chosen = await panel(page);
  await page.click("#collapse");
  await drawn(page);
  return { folded, unfolded, chosen, again: await nodes(page) };
}

async function narrow(page) {
  return page.evaluate(() => ({
    wide: document.documentElement.scrollWidth, window: window.innerWidth,
    drawing: document.getElementById("drawing").getBoundingClientRect().toJSON(),
    panel: document.getElementById("panel").getBoundingClientRect().toJSON(),
  }));
}

// Do drawn nodes overlap?
async function overlaps(page, level) {
  await page.check(`#levels input[value=${level}]`);
  await drawn(page);
  return page.evaluate(() => {
    const { cy } = document.getElementById("drawing")._cyreg;
    const boxes = cy.nodes().filter((n) => !n.isParent()).map((n) => ({ id: n.id(), ...n.boundingBox({ includeLabels: true,
      includeOverlays: false, includeEdges: false }) }));
    const found = [];
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
      if (a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2) found.push(`${a.id} ${b.id}`);
    }));
    const up = cy.edges().filter((e) => e.source().position("y") >= e.target().position("y")).map((e) => e.id());
    return { found, up, n: boxes.length };
  });
}

// The page in a frame of another, as a notebook shows it.
async function frame(page) {
  const inner = page.frames()[1];
  await inner.waitForFunction(() => document.documentElement.dataset.drawn !== undefined);
  return { nodes: await inner.evaluate(() => Number(document.documentElement.dataset.drawn)),
    origin: await inner.evaluate(() => window.origin) };
}

async function motion(page, label) {
  await page.keyboard.press("+");
  for (let k = 0; k < 12; k += 1) await page.keyboard.press("+");
  await page.evaluate(() => { window.moves = 0; });
  await page.fill("#search", label);
  await page.press("#search", "Enter");
  return { animated: await page.evaluate(() => document.getElementById("drawing")._cyreg.cy.animated()) };
}

export const scenarios = {
  load: { run: load, audit: true },
  audit_dark: { run: (page) => click(page, "fc1"), audit: true, options: { dark: true } },
  click: { run: click }, search: { run: search }, levels: { run: levels }, fold: { run: fold }, keys: { run: keys },
  dark: { run: dark }, dark_system: { run: dark, options: { dark: true } }, hostile: { run: hostile },
  plain: { run: plain, options: { scripts: false } }, print: { run: print }, large: { run: large },
  narrow: { run: narrow, options: { width: 390, height: 800 } }, overlaps: { run: overlaps },
  frame: { run: frame, options: { bare: true } },
  still: { run: motion }, moving: { run: motion, options: { calm: false } },
};
