// The help: what keys do and where things are. `?` opens it, and so does its button.
const KEYS = [
  ["/", "search"],
  ["?", "this help"],
  ["↑ ↓", "in the tree, the next class; in the search, the next result"],
  ["→ ←", "open and close a class; in a sample, the next one and the one before"],
  ["Home End", "the first and the last one"],
  ["a … z", "in the tree, the next class with this letter"],
  ["Tab, then ↑ ↓ → ←", "from tile to tile of the map"],
  ["Enter", "open what is chosen"],
  ["Backspace", "in the map, up to the class above"],
  ["c", "in a sample, copy its key"],
  ["Escape", "close"],
];
const HINTS = [
  ["Map", "A tile is a class with all below it; its area and color mean what you choose above it."],
  ["Filter", "Narrows the tree, the list and the map. Counts then say how many of all are shown."],
  ["List", "What is shown in one order, without the tree. Save CSV writes the same."],
  ["Address", "Holds all of this: copy it, and others see the same. Back undoes a step."],
];

// How the tree was made, where it was.
const about = () =>
  data.rule === "none"
    ? []
    : [["Tree", `From ${data.source}; of several parents, each class has one, by the rule “${data.rule}”.`]];

const makeHelp = () => {
  const dialog = byId("help");
  const rows = (few, kind) =>
    element(
      "dl",
      { class: kind },
      ...few.map(([name, text]) =>
        element(
          "div",
          {},
          element("dt", {}, kind === "keys" ? element("kbd", {}, name) : name),
          element("dd", {}, text),
        ),
      ),
    );
  const close = () => dialog.close();
  const open = () => {
    if (document.querySelector("dialog[open]")) return;
    dialog.replaceChildren(
      element(
        "div",
        { class: "sample-head" },
        element("h2", { id: "help-title" }, "Help"),
        button("×", close, { class: "close", "aria-label": "Close" }),
      ),
      rows([...HINTS, ...about()], "hints"),
      element("h3", {}, "Keys"),
      rows(KEYS, "keys"),
    );
    dialog.showModal();
  };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) close();
  });
  byId("help-button").addEventListener("click", open);
  return { open };
};
