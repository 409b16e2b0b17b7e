// ---- The drawing: cytoscape shows the nodes that are placed, and tells which one is clicked.

const MANY = 1200; // elements, above which moving the picture shows a rough one

class Drawing {
  constructor(container, { onChoose, onOpen }) {
    this.container = container;
    this.onChoose = onChoose;
    this.onOpen = onOpen;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.cy = null;
    this.chosen = null;
  }

  show(graph) {
    measure(graph.nodes.values());
    const { positions, bends } = arrange(graph);
    this.graph = graph;
    this.positions = positions;
    if (this.cy) this.cy.destroy();
    const elements = elementsOf(graph, positions, bends);
    this.cy = cytoscape({
      container: this.container, elements, style: lookOfGraph(), layout: { name: "preset", fit: false }, autoungrabify: true,
      boxSelectionEnabled: false, autounselectify: true, minZoom: 0.005, maxZoom: 4,
      textureOnViewport: elements.length > MANY, hideEdgesOnViewport: elements.length > 4 * MANY,
      pixelRatio: elements.length > 4 * MANY ? 1 : "auto",
    });
    this.cy.on("tap", "node", (event) => this.onChoose(event.target.id()));
    this.cy.on("dbltap", "node", (event) => this.onOpen(event.target.id()));
    this.cy.on("tap", (event) => { if (event.target === this.cy) this.onChoose(null); });
    this.fit();
    this.chosen = null;
  }

  // All nodes in view. Their places are known: to ask cytoscape for them would take as long as to draw.
  fit() {
    if (!this.cy || !this.graph.nodes.size) return;
    let x1 = Infinity, x2 = -Infinity, y1 = Infinity, y2 = -Infinity;
    for (const { id, width, height } of this.graph.nodes.values()) {
      const { x, y } = this.positions.get(id);
      x1 = Math.min(x1, x - width / 2);
      x2 = Math.max(x2, x + width / 2);
      y1 = Math.min(y1, y - height / 2);
      y2 = Math.max(y2, y + height / 2);
    }
    const margin = 36 + (this.graph.boxes.size ? 20 : 0);
    const zoom = Math.min(1.25, (this.cy.width() - 2 * margin) / (x2 - x1), (this.cy.height() - 2 * margin) / (y2 - y1));
    this.cy.viewport({ zoom: Math.max(zoom, this.cy.minZoom()), pan: {
      x: this.cy.width() / 2 - zoom * (x1 + x2) / 2, y: this.cy.height() / 2 - zoom * (y1 + y2) / 2,
    } });
  }

  zoomBy(factor) {
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: this.middle() });
  }

  middle() {
    return { x: this.cy.width() / 2, y: this.cy.height() / 2 };
  }

  panBy(x, y) {
    this.cy.panBy({ x, y });
  }

  restyle() {
    if (this.cy) this.cy.style(lookOfGraph());
  }

  // Mark a node and its edges; bring it into view, if it shall be.
  choose(id, inView) {
    this.cy.batch(() => {
      this.cy.elements(".chosen, .into, .from").removeClass("chosen into from");
      this.chosen = id;
      if (id === null) return;
      const node = this.cy.getElementById(id);
      node.addClass("chosen");
      node.incomers("edge").addClass("into");
      node.outgoers("edge").addClass("from");
    });
    if (id !== null && inView) this.bringIntoView(this.cy.getElementById(id));
  }

  bringIntoView(node) {
    const { x, y } = node.renderedPosition();
    const small = this.cy.zoom() * FONT_SIZE < 7;
    const outside = x < 40 || y < 40 || x > this.cy.width() - 40 || y > this.cy.height() - 40;
    if (!small && !outside) return;
    const view = { zoom: small ? 0.8 : this.cy.zoom(), center: { eles: node } };
    if (this.calm.matches) {
      this.cy.zoom(view.zoom);
      this.cy.center(node);
    } else this.cy.animate(view, { duration: 220 });
  }

  markFound(ids) {
    this.cy.batch(() => {
      this.cy.nodes(".found").removeClass("found");
      for (const id of ids) this.cy.getElementById(id).addClass("found");
    });
  }

  // The node that an arrow key leads to, or null: inputs lie above, readers below, and beside what has the same height.
  neighbour(id, key) {
    if (id === null) return this.first();
    const node = this.cy.getElementById(id), here = node.position();
    const leaves = (nodes) => nodes.filter((n) => !n.hasClass("frame") && n.id() !== id);
    const near = (nodes, weigh) => {
      const sorted = nodes.toArray().map((n) => [weigh(n.position()), n.id()]).sort((a, b) => a[0] - b[0]);
      return sorted.length ? sorted[0][1] : null;
    };
    if (key === "ArrowUp") return near(leaves(node.incomers("node")), ({ x }) => Math.abs(x - here.x));
    if (key === "ArrowDown") return near(leaves(node.outgoers("node")), ({ x }) => Math.abs(x - here.x));
    const sign = key === "ArrowLeft" ? -1 : 1;
    const beside = leaves(this.cy.nodes()).filter((n) => (n.position("x") - here.x) * sign > 1
      && Math.abs(n.position("y") - here.y) < node.height());
    return near(beside, ({ x }) => (x - here.x) * sign);
  }

  // The node at the top left.
  first() {
    const nodes = this.cy.nodes().filter((n) => !n.hasClass("frame")).toArray();
    nodes.sort((a, b) => a.position("y") - b.position("y") || a.position("x") - b.position("x"));
    return nodes.length ? nodes[0].id() : null;
  }
}

function elementsOf(graph, positions, bends) {
  const frames = [...graph.boxes.values()].map(({ key, title }) => ({
    group: "nodes", data: { id: `b${key}`, label: short(title, 40), width: 0, height: 0 }, classes: "frame",
  }));
  const nodes = [...graph.nodes.values()].map((node) => ({
    group: "nodes", position: positions.get(node.id), classes: node.kind + (node.count > 1 ? " stack" : ""),
    data: { id: node.id, label: node.lines.join("\n"), width: node.width, height: node.height,
      parent: node.box ? `b${node.box}` : undefined },
  }));
  return [...frames, ...nodes, ...edgeElements(graph, positions, bends)];
}
