// ---- Elements of the page. Texts become text nodes only, never markup.

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A name: isolated, so that its direction of writing is its own affair.
function nameElement(name, width = 200) {
  return element("bdi", {}, short(name, width) || "(no name)");
}

function kindMark(kind) {
  return element("span", { class: `mark ${kind}`, "aria-hidden": "true" });
}

function section(title, ...children) {
  return element("section", {}, element("h3", {}, title), ...children);
}

// Pairs as a list of terms; those without a value are left out.
function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!rows.length) return null;
  return element("dl", {}, ...rows.flatMap(([key, value]) => [
    element("dt", {}, element("bdi", {}, plain(key))),
    element("dd", {}, typeof value === "string" ? element("bdi", {}, plain(value)) : value),
  ]));
}

function formulaElement(lines) {
  return element("pre", { class: "maths", tabindex: "0", "aria-label": "Formula" }, lines.map(plainLine).join("\n"));
}

function plainLine(line) {
  return line.split("\t").map(plain).join("\t");
}
