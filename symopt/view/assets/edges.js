// ---- How edges run: out at the bottom of a node, by the bends that dagre found, in at the top of the next, side by side.

const FAR = 900; // edges without bends that are longer are drawn faint
const MANY_EDGES = 3000; // more are straight
const REACH = 18; // how far an edge runs straight down before it turns

function edgeElements(graph, positions, bends) {
  if (graph.edges.length > MANY_EDGES) return graph.edges.map((edge) => ({ group: "edges", data: baseData(edge) }));
  const starts = spread(graph, positions, bends, "source", "target");
  const ends = spread(graph, positions, bends, "target", "source");
  return graph.edges.map((edge) => {
    const data = baseData(edge);
    const from = positions.get(edge.source), to = positions.get(edge.target);
    const points = bends.get(edge.id);
    if (!points && Math.hypot(to.x - from.x, to.y - from.y) > FAR) return { group: "edges", data, classes: "far" };
    const leaves = border(graph.nodes.get(edge.source), starts.get(edge.id), 1);
    const enters = border(graph.nodes.get(edge.target), ends.get(edge.id), -1);
    const course = bend({ x: from.x + leaves.x, y: from.y + leaves.y }, { x: to.x + enters.x, y: to.y + enters.y },
      points ?? []);
    return { group: "edges", classes: "bent", data: { ...data, ...course,
      leaves: `${leaves.x}px ${leaves.y}px`, enters: `${enters.x}px ${enters.y}px` } };
  });
}

function baseData(edge) {
  return { id: `e${edge.id}`, source: edge.source, target: edge.target, width: edge.links > 1 ? 2.25 : 1.25 };
}

// For each edge how far from the middle of its node it is attached: -1 to 1, in the order of where the edges lead.
function spread(graph, positions, bends, end, other) {
  const ofNode = new Map();
  for (const edge of graph.edges) {
    const points = bends.get(edge.id) ?? [];
    const next = (end === "source" ? points[0] : points[points.length - 1]) ?? positions.get(edge[other]);
    if (!ofNode.has(edge[end])) ofNode.set(edge[end], []);
    ofNode.get(edge[end]).push([next.x, edge.id]);
  }
  const places = new Map();
  for (const edges of ofNode.values()) {
    edges.sort((a, b) => a[0] - b[0]);
    edges.forEach(([, id], k) => places.set(id, (2 * (k + 1)) / (edges.length + 1) - 1));
  }
  return places;
}

// The point of a node's border, from its middle; side is 1 below and -1 above.
function border(node, place, side) {
  const round = node.kind === "primitive", x = place * (round ? 0.7 : 0.8);
  return {
    x: Math.round(x * node.width / 2),
    y: Math.round(side * node.height / 2 * (round ? Math.sqrt(1 - x * x) : 1)),
  };
}

// Control points as cytoscape wants them: how far along the line between both ends, and how far beside it.
function bend(from, to, points) {
  const x = to.x - from.x, y = to.y - from.y, length = Math.hypot(x, y) || 1;
  const reach = points.length > 1 ? Math.min(REACH, Math.max(4, y / 3)) : y / 2; // one bend is in the middle: a plain S
  const course = [{ x: from.x, y: from.y + reach }, ...(points.length > 1 ? points : []), { x: to.x, y: to.y - reach }];
  return {
    weights: course.map((p) => ((p.x - from.x) * x + (p.y - from.y) * y) / length ** 2),
    distances: course.map((p) => ((p.y - from.y) * x - (p.x - from.x) * y) / length),
  };
}
