// ---- How nodes and edges look: shapes tell kinds apart, colours too; colours come from colours.css.

const SHAPES = {
  variable: "round-rectangle", state: "barrel", number: "hexagon", op: "rectangle",
  primitive: "ellipse", kernel: "cut-rectangle", array: "bottom-round-rectangle", box: "rectangle",
};
const FONT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif';
const FONT_SIZE = 13;
const LINE = 17;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Gives nodes the size that their text needs.
function measure(nodes) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${FONT_SIZE}px ${FONT}`;
  const widths = new Map();
  const widthOf = (line) => {
    if (!widths.has(line)) widths.set(line, pen.measureText(line).width);
    return widths.get(line);
  };
  const spare = { number: 40, primitive: 34, kernel: 34, state: 30 };
  for (const node of nodes) {
    node.width = Math.ceil(Math.max(38, ...node.lines.map(widthOf))) + (spare[node.kind] ?? 24);
    node.height = node.lines.length * LINE + (node.kind === "primitive" ? 22 : 14);
  }
}

function lookOfGraph() {
  const kinds = [...Object.keys(KINDS), "box"].map((kind) => ({
    selector: `node.${kind}`,
    style: {
      shape: SHAPES[kind],
      "background-color": colour(`${kind}-fill`),
      color: colour(`${kind}-text`),
      "border-color": colour(`${kind}-line`),
    },
  }));
  return [...lookOfNodes(), ...kinds, ...lookOfEdges(), ...lookOfChosen()];
}

function lookOfNodes() {
  return [
    { selector: "node", style: {
      label: "data(label)", width: "data(width)", height: "data(height)", "text-wrap": "wrap", "text-valign": "center",
      "font-family": FONT, "font-size": FONT_SIZE, "line-height": LINE / FONT_SIZE - 0.1, "border-width": 1.25,
      "min-zoomed-font-size": 5,
    } },
    { selector: "node.stack", style: {
      ghost: "yes", "ghost-offset-x": 5, "ghost-offset-y": 5, "ghost-opacity": 0.45, "border-width": 2.5,
    } },
    { selector: "node.array", style: { "border-style": "dashed" } },
    { selector: "node.box", style: { "border-width": 3, "border-style": "double" } },
    { selector: "node.frame", style: {
      shape: "round-rectangle", label: "data(label)", "text-valign": "top", "text-halign": "center", "text-margin-y": -4,
      "font-family": FONT, "font-size": FONT_SIZE, color: colour("muted"), "background-color": colour("frame"),
      "background-opacity": 0.55, "border-color": colour("edge"), "border-style": "dashed", "border-width": 1, padding: 14,
      "min-zoomed-font-size": 5,
    } },
  ];
}

function lookOfEdges() {
  return [
    { selector: "edge", style: {
      width: "data(width)", "line-color": colour("edge"), "curve-style": "straight", "target-arrow-shape": "triangle",
      "target-arrow-color": colour("edge"), "arrow-scale": 0.9, events: "no",
    } },
    { selector: "edge.bent", style: {
      "curve-style": "unbundled-bezier", "edge-distances": "endpoints",
      "source-endpoint": (edge) => edge.data("leaves"), "target-endpoint": (edge) => edge.data("enters"),
      "control-point-weights": (edge) => edge.data("weights"),
      "control-point-distances": (edge) => edge.data("distances"),
    } },
    { selector: "edge.far", style: { opacity: 0.25, "target-arrow-shape": "none" } },
  ];
}

function lookOfChosen() {
  return [
    { selector: "edge.into", style: { "line-color": colour("into"), "target-arrow-color": colour("into"), width: 2.5,
      "line-style": "solid", opacity: 1, "z-index": 5 } },
    { selector: "edge.from", style: { "line-color": colour("from"), "target-arrow-color": colour("from"), width: 2.5,
      "line-style": "dashed", opacity: 1, "z-index": 5 } },
    { selector: "node.found", style: { "underlay-color": colour("found"), "underlay-opacity": 0.9, "underlay-padding": 6,
      "underlay-shape": "round-rectangle" } },
    { selector: "node.chosen", style: { "outline-color": colour("accent"), "outline-width": 3, "outline-offset": 3,
      "z-index": 9 } },
  ];
}
