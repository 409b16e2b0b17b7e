// What a page does in a browser: node check.mjs SCENARIO PAGE [ARGUMENT] prints what was seen as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { drawn, openPage } from "./open.mjs";
import { scenarios } from "./scenarios.mjs";

const [name, path, argument] = process.argv.slice(2);
const scenario = scenarios[name];
const { browser, page, seen } = await openPage(path, scenario.options ?? {});
const result = await scenario.run(page, argument);
if (scenario.audit) {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  result.audit = await page.evaluate(async () => (await window.axe.run()).violations
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" ")}`));
}
const violations = await page.evaluate(() => window.violations ?? []);
console.log(JSON.stringify({ ...result, ...seen, violations }));
await browser.close();
