// ---- What the page shows: the JSON in its element "data", as objects.

const KINDS = {
  variable: "variable", state: "state", number: "number", op: "op",
  primitive: "primitive", kernel: "kernel", array: "array",
};

function readData() {
  const raw = JSON.parse(document.getElementById("data").textContent);
  const tables = readTables(raw.tables);
  return { title: raw.title, start: raw.start, levels: raw.levels.map((level) => readLevel(level, tables)) };
}

// Tables whose entries are positions of texts get the texts.
function readTables(raw) {
  const text = (position) => (position < 0 ? null : raw.texts[position]);
  const pairs = (flat) => flat.flatMap((key, k) => (k % 2 ? [] : [[text(key), text(flat[k + 1])]]));
  return {
    text,
    shape: (k) => (k < 0 ? null : raw.shapes[k]),
    set: (k) => raw.sets[k],
    formulas: raw.formulas.map((lines) => lines.map(text)),
    attrs: raw.attrs.map(pairs),
    places: raw.places.map(([file, line, quote]) => ({ file: text(file), line, quote: text(quote) })),
  };
}

function readLevel(raw, tables) {
  const columns = raw.items;
  const items = columns.kind.map((_, k) => readItem(columns, k, tables));
  for (let k = 0; k < raw.links.length; k += 4) {
    const [source, target, port, output] = raw.links.slice(k, k + 4);
    items[source].feeds.push({ item: items[target], port, output });
    items[target].reads.push({ item: items[source], port, output });
  }
  for (const item of items) item.reads.sort((a, b) => a.port - b.port);
  const kernels = raw.kernels.map((kernel) => ({
    ...kernel,
    formula: tables.formulas[kernel.formula] ?? [],
    code: Object.entries(kernel.code).map(([form, code]) => [form, tables.text(code)]),
  }));
  return { name: raw.level, title: raw.title, items, kernels: new Map(kernels.map((k) => [k.number, k])) };
}

function readItem(columns, k, tables) {
  const op = tables.text(columns.op[k]);
  return {
    index: k,
    kind: tables.text(columns.kind[k]),
    op: op === "null" ? "" : op,
    name: columns.name[k],
    shape: tables.shape(columns.shape[k]),
    dtype: tables.text(columns.dtype[k]),
    stype: tables.text(columns.stype[k]),
    bytes: columns.bytes[k],
    kernels: tables.set(columns.kernels[k]),
    group: tables.text(columns.group[k]),
    formula: tables.formulas[columns.formula[k]] ?? [],
    attrs: tables.attrs[columns.attrs[k]] ?? [],
    where: tables.places[columns.where[k]] ?? null,
    count: columns.count[k],
    cls: columns.cls[k],
    unit: columns.unit[k],
    reads: [],
    feeds: [],
  };
}

// ---- Words

// Characters that do not show, or that turn the direction of writing, by their numbers.
function plain(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
    (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// A text cut in its middle, so that both ends show.
function short(text, width) {
  const letters = Array.from(plain(text.slice(0, 4000)));
  if (letters.length <= width) return letters.join("");
  const end = Math.floor(width / 3);
  return letters.slice(0, width - end - 1).join("") + "…" + letters.slice(-end).join("");
}

function shapeText(shape) {
  if (!shape) return "shape not known";
  return shape.length ? shape.map((n) => (n < 0 ? "?" : n)).join("×") : "number";
}

function bytesText(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let size = bytes, k = 0;
  while (size >= 1000 && k < units.length - 1) { size /= 1000; k += 1; }
  return `${k ? size.toFixed(size < 100 ? 1 : 0) : size} ${units[k]}`;
}

function secondsText(seconds) {
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(3)} µs`;
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

function countText(n, what) {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}
