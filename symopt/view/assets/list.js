// ---- The list beside the drawing: what is drawn, or what the search finds among all items. One option is in the tab order.

const ROWS = 150; // listed at once

class NodeList {
  constructor(list, more, { onChoose, onLeave }) {
    this.list = list;
    this.more = more;
    this.onChoose = onChoose;
    this.onLeave = onLeave;
    this.entries = [];
    this.chosen = null;
    more.addEventListener("click", () => this.extend());
    list.addEventListener("click", (event) => this.take(event.target.closest("[role=option]"), true));
    list.addEventListener("keydown", (event) => this.key(event));
  }

  // Entries: {id, kind, name, op, facts}.
  fill(entries, chosen) {
    this.entries = entries;
    this.list.replaceChildren();
    this.extend();
    this.mark(chosen);
  }

  extend() {
    const from = this.list.children.length;
    this.list.append(...this.entries.slice(from, from + ROWS).map(optionOf));
    const left = this.entries.length - this.list.children.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `${left.toLocaleString("en")} more`;
  }

  mark(id) {
    this.chosen = id;
    for (const option of this.list.children) {
      const on = option.dataset.id === id;
      option.setAttribute("aria-selected", String(on));
      if (on) {
        this.list.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    }
    if (id === null) this.list.removeAttribute("aria-activedescendant");
  }

  take(option, click) {
    if (!option) return;
    this.mark(option.dataset.id);
    this.onChoose(option.dataset.id, click);
  }

  key(event) {
    const options = [...this.list.children];
    const now = options.findIndex((option) => option.dataset.id === this.chosen);
    const last = options.length - 1;
    const to = { ArrowDown: Math.min(now + 1, last), ArrowUp: Math.max(now - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined) {
      this.take(options[to], false);
      event.preventDefault();
    } else if (event.key === "Enter" && now >= 0) {
      this.onLeave();
      event.preventDefault();
    }
  }
}

let options = 0;

function optionOf({ id, kind, name, op, facts }) {
  options += 1;
  return element("li", { role: "option", id: `option${options}`, "data-id": id, "aria-selected": "false" },
    kindMark(kind),
    element("span", { class: "title" }, nameElement(name, 48)),
    element("small", {}, [...new Set([KINDS[kind] ?? kind, op, facts])].filter(Boolean).join(" · ")));
}

function entryOfNode(node) {
  const many = node.count > 1 ? `× ${node.count.toLocaleString("en")}` : "";
  const facts = node.items.length === 1 && node.items[0].shape ? shapeText(node.items[0].shape) : "";
  return { id: node.id, kind: node.kind, name: node.name, op: node.op === node.name ? "" : node.op,
    facts: [many, facts].filter(Boolean).join(" ") };
}

function entryOfItem(item) {
  return { id: `i${item.index}`, kind: item.kind, name: item.name, op: item.op === item.name ? "" : item.op,
    facts: item.shape ? shapeText(item.shape) : "" };
}

// Items whose name, op or node contains the text: those whose name is it first, then those whose name begins with it.
function findItems(level, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const found = [];
  for (const item of level.items) {
    const name = item.name.toLowerCase();
    const rank = name === wanted ? 0 : name.startsWith(wanted) ? 1 : name.includes(wanted) ? 2
      : item.op.toLowerCase().includes(wanted) || item.group.toLowerCase().includes(wanted) ? 3 : -1;
    if (rank >= 0) found.push([rank, item]);
  }
  return found.sort((a, b) => a[0] - b[0]).map(([, item]) => item);
}
