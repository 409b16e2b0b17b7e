// ---- The page: which level, what is folded, what is chosen.

const START_FOLDED = 60; // a level of more items starts with its stacks folded
const byId = (id) => document.getElementById(id);

class Page {
  constructor(data) {
    this.data = data;
    this.container = byId("drawing");
    this.dialog = byId("keys");
    this.drawing = new Drawing(this.container, {
      onChoose: (id) => this.choose(id), onOpen: (id) => this.toggle(this.graph.nodes.get(id)),
    });
    this.panel = new Panel(byId("panel"), {
      onChoose: (item) => this.chooseItem(item), onToggle: (node) => this.toggle(node),
      onUnfold: (node, n) => this.unfold(node, n),
    });
    this.list = new NodeList(byId("nodes"), byId("more"), {
      onChoose: (id) => this.chooseListed(id), onLeave: () => this.focusPanel(),
    });
    this.foldings = new Map();
    this.chosen = null;
  }

  start() {
    byId("title").textContent = plain(this.data.title);
    this.addLevels();
    this.listen();
    fillKeys(this.dialog);
    listenToKeys(this);
    this.setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);
    this.showLevel(this.data.levels.find((level) => level.name === this.data.start) ?? this.data.levels[0]);
  }

  addLevels() {
    byId("levels").append(...this.data.levels.map((level) => element("label", {}, element("input", {
      type: "radio", name: "level", value: level.name, onchange: () => this.showLevel(level),
    }), level.name)));
  }

  listen() {
    const on = (id, event, act) => byId(id).addEventListener(event, act);
    on("search", "input", () => this.search());
    on("search", "keydown", (event) => this.searchKey(event));
    on("stacks", "change", (event) => this.regroup("stacks", event.target.value));
    on("boxes", "change", (event) => this.regroup("boxes", event.target.value));
    on("expand", "click", () => this.refold(() => this.folding.expandAll()));
    on("collapse", "click", () => this.refold(() => this.folding.collapseAll()));
    on("nearer", "click", () => this.drawing.zoomBy(1.25));
    on("farther", "click", () => this.drawing.zoomBy(0.8));
    on("fit", "click", () => this.drawing.fit());
    on("listed", "click", () => this.toggleList());
    on("theme", "click", () => this.toggleTheme());
    on("help", "click", () => this.dialog.showModal());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => this.setTheme(e.matches));
  }

  // ---- what is drawn

  showLevel(level) {
    this.level = level;
    if (!this.foldings.has(level.name)) this.foldings.set(level.name, firstFolding(level));
    this.folding = this.foldings.get(level.name);
    for (const input of byId("levels").querySelectorAll("input")) input.checked = input.value === level.name;
    byId("stacks").value = this.folding.stacks;
    byId("boxes").value = this.folding.boxes;
    for (const [value, has] of [["kernel", (i) => i.kernels.length], ["group", (i) => i.group]]) {
      byId("boxes").querySelector(`[value=${value}]`).disabled = !level.items.some(has);
    }
    fillLegend(byId("legend"), level);
    byId("search").value = "";
    this.redraw();
  }

  showLevelNumber(k) {
    if (this.data.levels[k]) this.showLevel(this.data.levels[k]);
  }

  // Draw the graph as it is folded now, with a node chosen; in view, if it shall be.
  redraw(chosen = null, inView = false) {
    this.graph = this.folding.graph();
    const busy = byId("busy"), many = this.graph.nodes.size > 2000;
    busy.hidden = !many;
    busy.textContent = many ? `Drawing ${countText(this.graph.nodes.size, "node")} …` : "";
    const draw = () => {
      this.drawing.show(this.graph);
      this.choose(chosen, inView);
      busy.hidden = true;
      this.search();
      if (chosen === null) this.say(`${this.level.name}: ${countText(this.graph.nodes.size, "node")} drawn`);
      document.documentElement.dataset.drawn = String(this.graph.nodes.size);
    };
    delete document.documentElement.dataset.drawn;
    if (many) setTimeout(draw, 30); // after the notice is painted
    else draw();
  }

  regroup(what, value) {
    this.folding[what] = value;
    this.folding.regroup();
    if (value !== "none" && what === "boxes") this.folding.openAll();
    this.redraw();
  }

  refold(change) {
    change();
    this.redraw();
  }

  toggle(node) {
    const item = node.items[0];
    if (!this.folding.toggle(node)) return;
    const stays = this.folding.graph().nodes.has(node.id);
    this.redraw(stays ? node.id : this.folding.idOf(item));
  }

  unfold(node, n) {
    const item = node.items[0];
    this.folding.unfold(item, n);
    this.redraw(this.folding.idOf(item));
  }

  // ---- what is chosen

  choose(id, inView = true) {
    this.chosen = id;
    const node = id === null ? null : this.graph.nodes.get(id) ?? this.frameNode(id);
    this.drawing.choose(id, inView);
    this.list.mark(id);
    if (!node) {
      this.panel.showLevel(this.level);
      this.say("nothing chosen");
    } else {
      this.panel.showNode(node, this.level, this.folding);
      this.say(spoken(node));
    }
  }

  // An open box is clicked: its items together.
  frameNode(id) {
    const key = id.slice(1);
    const node = { id, key, box: "", unit: "", items: this.level.items.filter((item) => this.folding.boxOf(item) === key) };
    describe(node);
    return node;
  }

  chooseItem(item) {
    const id = `i${item.index}`;
    if (this.folding.idOf(item) === id) this.choose(id);
    else {
      this.folding.reveal(item);
      this.redraw(id, true);
    }
  }

  chooseListed(id) {
    if (this.graph.nodes.has(id)) this.choose(id);
    else this.chooseItem(this.level.items[Number(id.slice(1))]);
  }

  toggleChosen() {
    if (this.chosen !== null) this.toggle(this.graph.nodes.get(this.chosen) ?? this.frameNode(this.chosen));
  }

  move(key) {
    const to = this.drawing.neighbour(this.chosen, key);
    if (to === null) this.say("nothing there");
    else this.choose(to);
  }

  // ---- search

  search() {
    const text = byId("search").value;
    const found = findItems(this.level, text);
    const entries = text.trim() ? found.map(entryOfItem) : [...this.graph.nodes.values()].map(entryOfNode);
    byId("list-title").textContent = text.trim() ? `${found.length.toLocaleString("en")} found`
      : countText(entries.length, "node");
    this.list.fill(entries, this.chosen);
    this.drawing.markFound(new Set(found.map((item) => this.folding.idOf(item))));
    if (text.trim()) this.say(`${found.length.toLocaleString("en")} found`);
  }

  searchKey(event) {
    if (event.key === "Enter") {
      const [first] = findItems(this.level, event.target.value);
      if (first) {
        this.chooseItem(first);
        this.focusPanel();
      }
    } else if (event.key === "ArrowDown") {
      byId("nodes").focus();
      event.preventDefault();
    }
  }

  // ---- focus, theme, words

  focusSearch() {
    byId("search").focus();
    byId("search").select();
  }

  focusPanel() {
    byId("panel").focus();
  }

  escape() {
    if (byId("search").value) {
      byId("search").value = "";
      this.search();
    } else if (document.activeElement === this.container) this.choose(null);
    this.container.focus();
  }

  toggleList() {
    const on = document.documentElement.classList.toggle("listless");
    byId("listed").setAttribute("aria-pressed", String(!on));
    this.drawing.cy.resize();
  }

  toggleTheme() {
    this.setTheme(document.documentElement.dataset.theme !== "dark");
  }

  setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("theme").setAttribute("aria-pressed", String(dark));
    this.drawing.restyle();
  }

  say(text) {
    byId("said").textContent = text;
  }
}

function firstFolding(level) {
  const folding = new Folding(level);
  if (level.items.length <= START_FOLDED) folding.expandAll();
  return folding;
}

function spoken(node) {
  const [first] = node.items;
  const kind = node.kind === "box" ? "box" : KINDS[node.kind] ?? node.kind;
  const links = node.items.length === 1
    ? `${countText(first.reads.length, "input")}, read by ${first.feeds.length}` : countText(node.items.length, "item");
  return [kind, node.op, short(node.name, 60), first.shape && node.items.length === 1 ? shapeText(first.shape) : "", links]
    .filter(Boolean).join(", ");
}

function fillLegend(list, level) {
  const kinds = Object.keys(KINDS).filter((kind) => level.items.some((item) => item.kind === kind));
  list.replaceChildren(...kinds.map((kind) => element("li", {}, kindMark(kind), KINDS[kind])));
}

document.documentElement.classList.add("live");
new Page(readData()).start();
