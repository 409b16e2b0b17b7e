// ---- Where things are drawn. dagre places; of many units alike one is placed, and the others like it, in a grid.

const FEW_UNITS = 6; // more of a block are drawn as a grid
const FEW_BOXES = 6; // more are each placed by themselves
const TOO_MANY = 1500; // nodes that dagre does not place in a moment
const GAP = 28;

// Positions by id of node, bends by id of edge. Nodes have `width` and `height`.
function arrange(graph) {
  const grids = findGrids(graph);
  const holder = new Map(); // by id of node: the grid or box that places it
  const hold = (container, ids) => { for (const id of ids) holder.set(id, container); };
  for (const grid of grids) hold(grid, grid.inside.keys());
  let nodes = [...graph.nodes.values()].filter((node) => !holder.has(node.id)), boxes = graph.boxes;
  nodes.push(...grids.filter((grid) => grid.box)); // placed with what is in the same box; others below all else
  const below = grids.filter((grid) => !grid.box), packed = [];
  if (boxes.size > FEW_BOXES) {
    for (const key of boxes.keys()) packed.push(packBox(key, nodes.filter((node) => node.box === key), graph.edges));
    for (const box of packed) hold(box, box.inside.keys());
    nodes = [...nodes.filter((node) => !node.box), ...packed];
    boxes = new Map();
  }
  const placed = place({ nodes, boxes, edges: outerEdges(graph, holder, new Set(below)) });
  for (const grid of below) {
    placed.positions.set(grid.id, { x: placed.width / 2, y: placed.height + 2 * GAP + grid.height / 2 });
    placed.height += 2 * GAP + grid.height;
  }
  for (const container of [...packed, ...grids]) spreadOut(container, placed.positions); // boxes may hold grids
  return placed;
}

function spreadOut({ id, inside }, positions) {
  const centre = positions.get(id);
  for (const [inner, { x, y }] of inside) positions.set(inner, { x: centre.x + x, y: centre.y + y });
}

// What is in a box placed by itself: dagre makes a graph of many nested boxes endlessly long.
function packBox(key, nodes, edges) {
  const ids = new Set(nodes.map((node) => node.id));
  const flat = nodes.map(({ id, width, height }) => ({ id, width, height, box: "" }));
  const placed = place({ nodes: flat, boxes: new Map(),
    edges: edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target)) });
  const inside = new Map(nodes.map(({ id }) => {
    const { x, y } = placed.positions.get(id);
    return [id, { x: x - placed.width / 2, y: y - placed.height / 2 }];
  }));
  return { id: `b${key}`, inside, width: placed.width + GAP, height: placed.height + 2 * GAP, box: "" };
}

// Blocks with many units shown: each a grid of copies of its first unit.
function findGrids(graph) {
  const shown = new Map(); // by block: nodes of each unit
  for (const node of graph.nodes.values()) {
    if (!node.id.startsWith("i")) continue;
    const block = graph.blockOf.get(node.unit);
    if (!shown.has(block)) shown.set(block, new Map());
    const units = shown.get(block);
    if (!units.has(node.unit)) units.set(node.unit, []);
    units.get(node.unit).push(node);
  }
  const grids = [];
  for (const [block, units] of shown) {
    if (units.size > FEW_UNITS) grids.push(makeGrid(`g${block}`, [...units.values()], graph));
  }
  return grids;
}

function makeGrid(id, units, graph) {
  for (const unit of units) unit.sort((a, b) => a.items[0].cls - b.items[0].cls || a.items[0].index - b.items[0].index);
  const model = placeModel(units, graph);
  const wide = model.width + GAP, high = model.height + GAP;
  const columns = Math.max(1, Math.round(Math.sqrt((units.length * high * 1.6) / wide)));
  const rows = Math.ceil(units.length / columns);
  const cells = cytoscape({
    headless: true,
    elements: units.map((_, k) => ({ data: { id: `u${k}` } })),
    layout: { name: "grid", cols: columns, rows, avoidOverlap: false,
      boundingBox: { x1: -columns * wide / 2, y1: -rows * high / 2, w: columns * wide, h: rows * high } },
  });
  const inside = new Map();
  units.forEach((unit, k) => {
    const { x, y } = cells.getElementById(`u${k}`).position();
    unit.forEach((node, slot) => {
      inside.set(node.id, { x: x + model.slots[slot].x, y: y + model.slots[slot].y });
    });
  });
  cells.destroy();
  return { id, units, inside, width: columns * wide, height: rows * high, box: units[0][0].box };
}

// One unit placed: where its nodes lie around its centre. Each has the size of the largest that takes its part.
function placeModel(units, graph) {
  const [first] = units;
  const slots = first.map((node, slot) => ({
    id: node.id, box: "",
    width: Math.max(...units.map((unit) => unit[slot].width)),
    height: Math.max(...units.map((unit) => unit[slot].height)),
  }));
  const ids = new Set(first.map((node) => node.id));
  const edges = graph.edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target));
  const { positions, width, height } = place({ nodes: slots, boxes: new Map(), edges });
  return { width, height, slots: slots.map(({ id }) => {
    const { x, y } = positions.get(id);
    return { x: x - width / 2, y: y - height / 2 };
  }) };
}

// Edges between what is placed together: not those inside a grid or box, or to a grid below all else.
function outerEdges(graph, holder, below) {
  const edges = new Map();
  const outermost = (id) => {
    let held = holder.get(id);
    while (held && holder.has(held.id)) held = holder.get(held.id);
    return held;
  };
  for (const edge of graph.edges) {
    const from = outermost(edge.source), to = outermost(edge.target);
    if (!from && !to) edges.set(edge.id, edge);
    else if (from !== to && !below.has(from) && !below.has(to)) {
      const source = from ? from.id : edge.source, target = to ? to.id : edge.target;
      edges.set(`${source}>${target}`, { id: `${source}>${target}`, source, target });
    }
  }
  return [...edges.values()];
}

function place({ nodes, boxes, edges }) {
  if (nodes.length > TOO_MANY) return placeMany(nodes, edges);
  const graph = new dagre.graphlib.Graph({ compound: boxes.size > 0, multigraph: false });
  graph.setGraph({ nodesep: 22, ranksep: 52, edgesep: 14, marginx: 0, marginy: 0 });
  for (const key of boxes.keys()) graph.setNode(`b${key}`, {});
  for (const { id, width, height, box } of nodes) {
    graph.setNode(id, { width, height });
    if (box) graph.setParent(id, `b${box}`);
  }
  for (const { source, target } of [...edges].reverse()) graph.setEdge(source, target, {});
  if (nodes.length) dagre.layout(graph);
  const positions = new Map(nodes.map(({ id }) => [id, { x: graph.node(id).x, y: graph.node(id).y }]));
  const bends = new Map(edges.map(({ id, source, target }) => [id, graph.edge(source, target).points.slice(1, -1)]));
  return { positions, bends, width: graph.graph().width ?? 0, height: graph.graph().height ?? 0 };
}

// By depth, in rows.
function placeMany(nodes, edges) {
  const cy = cytoscape({
    headless: true,
    elements: [...nodes.map(({ id }) => ({ data: { id } })),
      ...edges.map(({ id, source, target }) => ({ data: { id, source, target } }))],
  });
  const widest = Math.max(...nodes.map((node) => node.width)), highest = Math.max(...nodes.map((node) => node.height));
  cy.layout({ name: "breadthfirst", directed: true, avoidOverlap: false, spacingFactor: 1,
    boundingBox: { x1: 0, y1: 0, w: widest * Math.sqrt(nodes.length) * 2, h: highest * Math.sqrt(nodes.length) * 2 },
  }).run();
  const positions = new Map(nodes.map(({ id }) => [id, { ...cy.getElementById(id).position() }]));
  const { w: width, h: height } = cy.elements().boundingBox();
  cy.destroy();
  return { positions, bends: new Map(), width, height };
}
