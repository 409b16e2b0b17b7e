// A picture of a page: node shoot.mjs PAGE OUT.png [--dark] [--click NODE] [--level L] [--boxes B] [--stacks S] [--unfold]
// [--expand] [--width W] [--height H] [--scale S] [--full]

import { parseArgs } from "node:util";
import { drawn, openPage, pick } from "./open.mjs";

const text = { type: "string" }, flag = { type: "boolean" };
const { values, positionals } = parseArgs({ allowPositionals: true, options: {
  dark: flag, click: text, level: text, boxes: text, stacks: text, unfold: flag, expand: flag, width: text, height: text,
  scale: text, full: flag,
} });
const [path, out] = positionals;
const size = Object.fromEntries(["width", "height", "scale"].filter((k) => values[k]).map((k) => [k, Number(values[k])]));
const { browser, page, seen } = await openPage(path, { dark: values.dark, ...size });
if (values.level) await page.check(`#levels input[value=${values.level}]`);
await drawn(page);
for (const what of ["stacks", "boxes"]) if (values[what]) await page.selectOption(`#${what}`, values[what]);
await drawn(page);
if (values.expand) await page.click("#expand");
await drawn(page);
if (values.click) await pick(page, values.click);
if (values.unfold) await page.locator("#panel button", { hasText: "Unfold" }).first().click();
await drawn(page);
if (values.click || values.unfold) await page.click("#fit");
await drawn(page);
await page.waitForTimeout(400); // cytoscape paints a little after
await page.screenshot({ path: out, fullPage: values.full });
await browser.close();
if (seen.errors.length || seen.console.length) console.error(JSON.stringify(seen));
