// ---- Details: of a node, of a stack or box, or of the whole graph.

const MEMBERS = 60; // listed at once

class Panel {
  constructor(place, { onChoose, onToggle, onUnfold }) {
    this.place = place;
    this.onChoose = onChoose; // of an item
    this.onToggle = onToggle;
    this.onUnfold = onUnfold;
  }

  fill(...children) {
    this.place.replaceChildren(...children.filter(Boolean));
    this.place.scrollTop = 0;
  }

  showLevel(level) {
    const counts = new Map();
    for (const item of level.items) counts.set(item.kind, (counts.get(item.kind) ?? 0) + item.count);
    const bytes = level.items.filter((item) => item.kind === "variable" || item.kind === "state")
      .reduce((sum, item) => sum + (item.bytes ?? 0) * item.count, 0);
    this.fill(
      element("h2", {}, "Graph"),
      element("p", { class: "hint" }, "Choose a node for its formula, shapes, code and source."),
      facts([...[...counts].map(([kind, n]) => [KINDS[kind] ?? kind, n.toLocaleString("en")]),
        ["variables, states", bytes ? bytesText(bytes) : null]]),
      level.kernels.size ? section("Kernels", kernelTable([...level.kernels.values()])) : null,
    );
  }

  showNode(node, level, folding) {
    const [first] = node.items;
    const single = node.items.length === 1;
    this.fill(
      this.heading(node),
      this.buttons(node, folding),
      first.formula.length ? section("Formula", formulaElement(first.formula)) : null,
      section("Facts", single ? factsOf(first) : factsOfMany(node)),
      single && first.attrs.length ? section("Attributes", facts(first.attrs)) : null,
      single ? this.links("Inputs", first.reads) : null,
      single ? this.links("Read by", first.feeds) : null,
      single ? sourceSection(first.where) : null,
      single ? null : this.members(node.items),
      ...this.kernels(node, level),
    );
  }

  heading(node) {
    const title = node.op && node.kind !== "primitive" ? [node.op, " ", nameElement(node.name)] : [nameElement(node.name)];
    const kind = node.kind === "box" ? "box" : KINDS[node.kind] ?? node.kind;
    const many = node.count > 1 ? ` × ${node.count.toLocaleString("en")}` : "";
    return element("h2", {}, kindMark(node.kind), ...title, element("small", {}, ` ${kind}${many}`));
  }

  buttons(node, folding) {
    const [item] = node.items, isBox = node.kind === "box";
    const buttons = [];
    const add = (words, act) => buttons.push(element("button", { type: "button", onclick: act }, words));
    const hidden = isBox ? 0 : folding.hidden(item).length;
    if (isBox) add(folding.open.has(node.key) ? "Close" : "Open", () => this.onToggle(node));
    else if (!node.isStack && (folding.isFoldable(item) || folding.boxOf(item))) add("Fold", () => this.onToggle(node));
    if (hidden > STEP) add(`Unfold ${STEP} more`, () => this.onUnfold(node, STEP));
    if (hidden) add(`Unfold all ${hidden.toLocaleString("en")}`, () => this.onUnfold(node, Infinity));
    return buttons.length ? element("p", { class: "buttons" }, ...buttons) : null;
  }

  links(title, links) {
    if (!links.length) return null;
    const label = (link) => (title === "Inputs" ? `${link.port}: ` : "") + (link.output ? `output ${link.output} of ` : "");
    return section(title, this.itemList(links, (link) => link.item, label));
  }

  members(items) {
    return section(`Stands for ${countText(items.length, "item")}`, this.itemList(items, (item) => item, () => ""));
  }

  // Buttons that lead to items; the rest of a long list on demand.
  itemList(entries, itemOf, label) {
    const list = element("ul", { class: "items" });
    const add = (from) => {
      list.append(...entries.slice(from, from + MEMBERS).map((entry) => {
        const item = itemOf(entry);
        return element("li", {}, label(entry), element("button", {
          type: "button", class: "link", onclick: () => this.onChoose(item),
        }, nameElement(item.name, 60)), item.op && item.op !== item.name ? ` ${short(item.op, 40)}` : "");
      }));
      const left = entries.length - from - MEMBERS;
      if (left <= 0) return;
      const more = element("li", {}, element("button", { type: "button", onclick: () => {
        more.remove();
        add(from + MEMBERS);
      } }, `${left.toLocaleString("en")} more`));
      list.append(more);
    };
    add(0);
    return list;
  }

  kernels(node, level) {
    const numbers = [...new Set(node.items.flatMap((item) => item.kernels))];
    const known = numbers.map((number) => level.kernels.get(number)).filter(Boolean);
    return known.slice(0, 8).map(kernelSection);
  }
}

function factsOf(item) {
  return facts([
    ["name", item.name],
    ["shape", item.kind === "kernel" ? null : shapeText(item.shape)],
    ["dtype", item.dtype],
    ["storage", item.stype],
    ["bytes", item.bytes === null ? null : `${item.bytes.toLocaleString("en")} (${bytesText(item.bytes)})`],
    ["how many", item.count > 1 ? `${item.count.toLocaleString("en")}, shown by the first` : null],
    ["of node", item.group],
    ["kernels", item.kernels.join(", ")],
  ]);
}

function factsOfMany(node) {
  const of = (get) => {
    const values = [...new Set(node.items.map(get).filter(Boolean))];
    return values.length > 3 ? `${values.length.toLocaleString("en")} different` : values.join(", ");
  };
  const bytes = node.items.reduce((sum, item) => sum + (item.bytes ?? 0) * item.count, 0);
  return facts([
    ["shape", of((item) => item.shape && shapeText(item.shape))],
    ["dtype", of((item) => item.dtype)],
    ["storage", of((item) => item.stype)],
    ["bytes, together", bytes ? bytesText(bytes) : null],
    ["kernels", [...new Set(node.items.flatMap((item) => item.kernels))].join(", ")],
  ]);
}

function sourceSection(where) {
  if (!where) return null;
  return section("Source", element("p", { class: "where" }, element("bdi", {}, `${plain(where.file)}:${where.line}`)),
    where.quote ? element("pre", { class: "code", tabindex: "0" }, plainLine(where.quote)) : null);
}

function kernelTable(kernels) {
  const head = ["no.", "kernel", "tensors", "bytes", "measured", "predicted"];
  const time = (seconds) => (seconds === null ? "–" : secondsText(seconds));
  const row = (k) => [k.number, nameElement(k.name, 22), k.tensors.toLocaleString("en"), bytesText(k.bytes),
    time(k.seconds), time(k.predicted)];
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Kernels" }, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((h) => element("th", { scope: "col" }, h)))),
    element("tbody", {}, ...kernels.slice(0, 300).map((k) => element("tr", {},
      ...row(k).map((cell) => element("td", {}, typeof cell === "object" ? cell : String(cell))))))));
}
