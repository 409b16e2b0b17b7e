// ---- What of a level is drawn: items, stacks of items that are alike, and boxes around what belongs together.
//
// A stack is what is left of a block whose units are not all shown. A unit is what unfolds together: a tensor's update with
// its weight, gradient and states; units of one make-up are a block.

const STEP = 24; // units that unfold at once

class Folding {
  constructor(level) {
    this.level = level;
    this.stacks = "alike";
    this.boxes = "none";
    this.shown = new Set(); // units, across boxes: what belongs together unfolds together
    this.open = new Set(); // keys of boxes
    this.regroup();
  }

  // After a change of `stacks` or `boxes`.
  regroup() {
    this.boxSizes = new Map();
    for (const item of this.level.items) {
      const box = this.boxKey(item);
      this.boxSizes.set(box, (this.boxSizes.get(box) ?? 0) + 1);
    }
    this.units = new Map();
    for (const item of this.level.items) {
      const unit = this.units.get(this.unitOf(item));
      if (unit) unit.push(item);
      else this.units.set(this.unitOf(item), [item]);
    }
    this.blocks = new Map();
    this.blockOf = new Map();
    for (const [key, items] of this.units) {
      const make = items.map((item) => this.classOf(item)).sort().join(" ");
      const block = `${this.boxOf(items[0])}|${make}`;
      this.blockOf.set(key, block);
      if (!this.blocks.has(block)) this.blocks.set(block, []);
      this.blocks.get(block).push(key);
    }
  }

  // The key of the box that an item is in, or "": there is none around a single item.
  boxOf(item) {
    const box = this.boxKey(item);
    return this.boxSizes.get(box) > 1 ? box : "";
  }

  boxKey(item) {
    if (this.boxes === "kernel") return item.kernels.length ? `kernel ${item.kernels.join(", ")}` : "";
    return this.boxes === "group" && item.group ? `node ${item.group}` : "";
  }

  classOf(item) {
    return this.stacks === "op" ? `${item.kind} ${item.op}` : item.cls;
  }

  wholeOf(item) {
    return this.stacks === "op" ? `i${item.index}` : `u${item.unit}`;
  }

  // The part of a unit that is in one box.
  unitOf(item) {
    return `${this.boxOf(item)}|${this.wholeOf(item)}`;
  }

  isShown(item) {
    const unit = this.unitOf(item);
    return this.stacks === "none" || this.shown.has(this.wholeOf(item)) || this.blocks.get(this.blockOf.get(unit)).length === 1;
  }

  isFoldable(item) {
    return this.stacks !== "none" && this.blocks.get(this.blockOf.get(this.unitOf(item))).length > 1;
  }

  // The id of what shows an item now.
  idOf(item) {
    const box = this.boxOf(item);
    if (box && !this.open.has(box)) return `b${box}`;
    return this.isShown(item) ? `i${item.index}` : `s${this.blockOf.get(this.unitOf(item))}|${this.classOf(item)}`;
  }

  reveal(item) {
    if (this.boxOf(item)) this.open.add(this.boxOf(item));
    this.shown.add(this.wholeOf(item));
  }

  // Unfold a drawn node: a box, or some more units of a stack. Fold an item's block, or the box it is in.
  toggle(node) {
    if (node.kind === "box" && this.open.has(node.key)) this.open.delete(node.key);
    else if (node.kind === "box") this.open.add(node.key);
    else if (node.isStack) this.unfold(node.items[0], STEP);
    else if (this.isFoldable(node.items[0])) this.fold(node.items[0]);
    else if (this.boxOf(node.items[0])) this.open.delete(this.boxOf(node.items[0]));
    else return false;
    return true;
  }

  // The units of an item's block that are not shown.
  hidden(item) {
    return this.isFoldable(item) ? this.blockUnits(item).filter((unit) => !this.shown.has(unit)) : [];
  }

  unfold(item, n) {
    for (const unit of this.hidden(item).slice(0, n)) this.shown.add(unit);
  }

  fold(item) {
    for (const unit of this.blockUnits(item)) this.shown.delete(unit);
  }

  blockUnits(item) {
    return this.blocks.get(this.blockOf.get(this.unitOf(item))).map((key) => this.wholeOf(this.units.get(key)[0]));
  }

  expandAll() {
    for (const item of this.level.items) this.shown.add(this.wholeOf(item));
    this.openAll();
  }

  openAll() {
    for (const item of this.level.items) if (this.boxOf(item)) this.open.add(this.boxOf(item));
  }

  collapseAll() {
    this.shown.clear();
    this.open.clear();
  }

  // The graph that is drawn: nodes by id, boxes by key, edges between ids, each once.
  graph() {
    const nodes = new Map(), boxes = new Map(), edges = new Map();
    for (const item of this.level.items) {
      const id = this.idOf(item), box = this.boxOf(item);
      if (box && this.open.has(box)) boxes.set(box, { key: box, title: box });
      const node = nodes.get(id);
      if (node) node.items.push(item);
      else nodes.set(id, { id, items: [item], key: box, box: this.open.has(box) ? box : "", unit: this.unitOf(item) });
    }
    for (const node of nodes.values()) describe(node);
    for (const item of this.level.items) {
      const target = this.idOf(item);
      for (const { item: read } of item.reads) {
        const source = this.idOf(read);
        if (source === target) continue;
        const id = `${source}>${target}`;
        const edge = edges.get(id);
        if (edge) edge.links += 1;
        else edges.set(id, { id, source, target, links: 1 });
      }
    }
    return { nodes, boxes, edges: [...edges.values()], blockOf: this.blockOf, blocks: this.blocks };
  }
}

// What a drawn node is and says.
function describe(node) {
  const [first] = node.items;
  node.isStack = node.id.startsWith("s");
  node.kind = node.id.startsWith("b") ? "box" : first.kind;
  node.count = node.items.reduce((sum, item) => sum + item.count, 0);
  node.name = node.kind === "box" ? node.key : node.isStack ? commonName(node.items) : first.name;
  node.op = node.kind === "box" ? "" : first.op;
  node.lines = linesOf(node, first);
}

function linesOf(node, first) {
  if (node.kind === "box") return [short(node.key, 30), countText(node.items.length, "item")];
  const times = node.count > 1 ? ` × ${node.count.toLocaleString("en")}` : "";
  const named = first.kind === "op" && first.op !== first.name;
  const title = first.kind === "op" || first.kind === "primitive" ? first.op : node.name;
  return [short(title, 30) + times, ...(named ? [short(node.name, 30)] : []), factLine(node, first)].filter(Boolean);
}

// The last line of a node's text: what is the same of all that it stands for.
function factLine(node, first) {
  const value = first.attrs.find(([key]) => key === (first.kind === "kernel" ? "over" : "value"));
  const same = (get) => (node.items.every((item) => String(get(item)) === String(get(first))) ? get(first) : null);
  if (first.op === "const") return "constant";
  if (value && same((item) => item.attrs.find(([key]) => key === value[0]))) {
    return first.kind === "number" ? `= ${value[1]}` : short(value[1], 30);
  }
  return [same((item) => item.shape) && shapeText(first.shape), same((item) => item.dtype)].filter(Boolean).join(" ");
}

// What the names of several have in common: "layer*_weight".
function commonName(items) {
  let [head] = items.map((item) => item.name), tail = head;
  for (const { name } of items) {
    let n = 0;
    while (n < head.length && head[n] === name[n]) n += 1;
    head = head.slice(0, n);
    n = 0;
    while (n < tail.length && tail[tail.length - 1 - n] === name[name.length - 1 - n]) n += 1;
    tail = n ? tail.slice(-n) : "";
  }
  if (items.every((item) => item.name === items[0].name)) return items[0].name;
  return `${head.replace(/\d+$/, "")}*${tail.replace(/^\d+/, "")}`;
}
