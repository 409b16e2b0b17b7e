// ---- The code of a kernel, a tab for each form.

const FORMS = { text: "Text", llvm: "LLVM", cuda: "CUDA" };

function codeTabs(kernel) {
  if (!kernel.code.length) return null;
  const id = `code${kernel.number}`;
  const panel = element("pre", { class: "code", role: "tabpanel", id, tabindex: "0" });
  const tabs = kernel.code.map(([form]) => element("button", {
    type: "button", role: "tab", id: `${id}-${form}`, "aria-controls": id, onclick: () => show(form),
  }, FORMS[form] ?? form));
  const show = (form, focus) => {
    kernel.code.forEach(([name, code], k) => {
      const on = name === form;
      tabs[k].setAttribute("aria-selected", String(on));
      tabs[k].tabIndex = on ? 0 : -1;
      if (!on) return;
      if (focus) tabs[k].focus();
      panel.textContent = code.split("\n").map(plainLine).join("\n");
      panel.setAttribute("aria-labelledby", tabs[k].id);
    });
  };
  const bar = element("div", { role: "tablist", "aria-label": `Code of ${kernel.name}` }, ...tabs);
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const now = tabs.findIndex((tab) => tab === document.activeElement);
    show(kernel.code[(now + step + tabs.length) % tabs.length][0], true);
    event.preventDefault();
  });
  show(kernel.code[0][0]);
  return element("div", { class: "tabs" }, bar, panel);
}

function kernelSection(kernel) {
  return section(`Kernel ${kernel.number}: ${short(kernel.name, 60)}`,
    facts([
      ["runs for", kernel.over],
      ["tensors", kernel.tensors.toLocaleString("en")],
      ["elements", kernel.elements.toLocaleString("en")],
      ["bytes a step", bytesText(kernel.bytes)],
      ["time, measured", kernel.seconds === null ? "not measured" : secondsText(kernel.seconds)],
      ["time, predicted", kernel.predicted === null ? "not known" : secondsText(kernel.predicted)],
    ]),
    element("details", {}, element("summary", {}, "After simplification"), formulaElement(kernel.formula)),
    codeTabs(kernel));
}
