// ---- Keys.

const KEYS = [
  ["/", "search"],
  ["arrow up, down", "in the drawing: to an input, to what reads it"],
  ["arrow left, right", "in the drawing: to the node beside it"],
  ["Enter", "in the drawing and the list: to the details; in the search: to what was found"],
  ["Space", "unfold a stack or a box, or fold what it was"],
  ["Escape", "back to the drawing; there: choose nothing"],
  ["+ − 0", "zoom in, zoom out, fit"],
  ["Shift and arrows", "move the picture"],
  ["1 2 3", "level"],
  ["t", "light or dark"],
  ["?", "these keys"],
];

function fillKeys(dialog) {
  dialog.replaceChildren(
    element("h2", { id: "keys-title" }, "Keys"),
    element("dl", {}, ...KEYS.flatMap(([key, what]) => [
      element("dt", {}, element("kbd", {}, key)), element("dd", {}, what),
    ])),
    element("form", { method: "dialog" }, element("button", {}, "Close")),
  );
}

// `page` has what the keys do. Keys that are letters do nothing while a text is typed.
function listenToKeys(page) {
  page.container.addEventListener("keydown", (event) => drawingKey(event, page));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || page.dialog.open) return;
    if (event.key === "Escape") page.escape();
    else if (/^(input|select|textarea)$/i.test(event.target.tagName) && event.target.type !== "radio") return;
    else if (!anywhere(event.key, page)) return;
    event.preventDefault();
  });
}

function anywhere(key, page) {
  const todo = {
    "/": () => page.focusSearch(), "?": () => page.dialog.showModal(), t: () => page.toggleTheme(),
    "+": () => page.drawing.zoomBy(1.25), "=": () => page.drawing.zoomBy(1.25), "-": () => page.drawing.zoomBy(0.8),
    0: () => page.drawing.fit(),
    1: () => page.showLevelNumber(0), 2: () => page.showLevelNumber(1), 3: () => page.showLevelNumber(2),
  }[key];
  if (todo) todo();
  return Boolean(todo);
}

function drawingKey(event, page) {
  const arrows = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [1, 0], ArrowRight: [-1, 0] };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (arrows[event.key] && event.shiftKey) page.drawing.panBy(...arrows[event.key].map((n) => n * 60));
  else if (arrows[event.key]) page.move(event.key);
  else if (event.key === "Enter") page.focusPanel();
  else if (event.key === " ") page.toggleChosen();
  else return;
  event.preventDefault();
}
