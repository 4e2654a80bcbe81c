// Filters: which classes are shown. What matches, and what stands above a match.
const KINDS = {
  all: ["all", () => true],
  leaf: ["without children", (i, { children }) => !children[i].length],
  inner: ["with children", (i, { children }) => children[i].length > 0],
  root: ["roots", (i, { parents }) => parents[i] < 0],
  lonely: ["neither parent nor children", (i, { parents, children }) => parents[i] < 0 && !children[i].length],
};
const levelRange = (text, depth) => {
  const [from, to = from] = text.split("-").map((part) => (part === "" ? NaN : Number(part)));
  return [Number.isNaN(from) ? 0 : from, Number.isNaN(to) ? depth : to];
};
const isFiltered = (wanted) => FILTERS.some((name) => wanted[name] !== DEFAULTS[name]);

const makeFilter = ({ model, measures, measureOf, search }) => {
  // Returns null if nothing is filtered, else what matches, what is shown, and how many match.
  const apply = (wanted) => {
    if (!isFiltered(wanted)) return null;
    const tests = [(i) => (KINDS[wanted.kind] ?? KINDS.all)[1](i, model)];
    if (wanted.levels) {
      const [from, to] = levelRange(wanted.levels, model.depth);
      tests.push((i) => model.levels[i] >= from && model.levels[i] <= to);
    }
    for (const id of wanted.has.split(",").filter(Boolean)) {
      const measure = measureOf(id);
      if (measure) tests.push((i) => measure.own[i] > 0);
    }
    const by = measureOf(wanted.by),
      limits = [wanted.from, wanted.to].map((text) => (text === "" ? NaN : Number(text)));
    if (by && limits.some((limit) => !Number.isNaN(limit))) {
      const scale = by.kind === "share" ? 100 : 1,
        values = by.id === "classes" ? by.total : by.own;
      tests.push(
        (i) => !Number.isNaN(values[i]) && !(values[i] * scale < limits[0]) && !(values[i] * scale > limits[1]),
      );
    }
    if (wanted.q) {
      const hits = new Set(search.find(wanted.q).map(({ i }) => i));
      tests.push((i) => hits.has(i));
    }
    const matches = new Uint8Array(model.size),
      shown = new Uint8Array(model.size);
    let count = 0;
    for (let i = 0; i < model.size; i++) {
      if (!tests.every((test) => test(i))) continue;
      matches[i] = 1;
      count += 1;
      for (let at = i; at >= 0 && !shown[at]; at = model.parents[at]) shown[at] = 1;
    }
    return { matches, shown, count };
  };
  // What a filter says in words, each with the changes that take it back.
  const words = (wanted) => {
    const said = [];
    if (wanted.q) said.push([`“${wanted.q}”`, { q: "" }]);
    if (wanted.levels) {
      const [from, to] = levelRange(wanted.levels, model.depth);
      said.push([from === to ? `level ${from}` : `levels ${from} to ${to}`, { levels: "" }]);
    }
    if (KINDS[wanted.kind] && wanted.kind !== "all") said.push([KINDS[wanted.kind][0], { kind: "all" }]);
    const by = measureOf(wanted.by),
      unit = by?.kind === "share" ? " %" : "";
    if (by && (wanted.from !== "" || wanted.to !== "")) {
      const range =
        wanted.to === ""
          ? `at least ${wanted.from}`
          : wanted.from === ""
            ? `at most ${wanted.to}`
            : wanted.from === wanted.to
              ? wanted.from
              : `${wanted.from} to ${wanted.to}`;
      said.push([`${by.name} ${range}${unit}`, { by: "", from: "", to: "" }]);
    }
    const has = wanted.has.split(",").filter((id) => measureOf(id));
    for (const id of has) {
      said.push([measureOf(id).flag ?? measureOf(id).name, { has: has.filter((other) => other !== id).join(",") }]);
    }
    return said;
  };
  return { apply, words };
};

const makeFilterForm = ({ model, measures, measureOf, filter, go }) => {
  const form = byId("filter-form");
  const levelsOf = Array.from({ length: model.depth + 1 }, (_, level) => `${level}`);
  const field = (name, control) => element("label", {}, span("label", name), control);
  const select = (name, options) => element("select", { name }, ...options.map(([value, text]) => option(value, text)));
  const input = (name, label) =>
    element("input", { name, type: "number", step: "any", inputmode: "decimal", "aria-label": label });
  const from = select(
    "level-from",
    levelsOf.map((level) => [level, level]),
  );
  const to = select(
    "level-to",
    levelsOf.map((level) => [level, level]),
  );
  const kind = select(
    "kind",
    Object.entries(KINDS).map(([id, [text]]) => [id, text]),
  );
  const by = select(
    "by",
    measures
      .filter(({ hidden, id }) => !hidden && id !== "level")
      .map(({ id, name, kind: what }) => [id, what === "share" ? `${name}, %` : name]),
  );
  const least = input("from", "at least"),
    most = input("to", "at most");
  const flags = measures
    .filter(({ flag }) => flag)
    .map(({ id, flag }) =>
      element("label", { class: "flag" }, element("input", { type: "checkbox", name: "has", value: id }), flag),
    );
  from.setAttribute("aria-label", "Lowest level");
  to.setAttribute("aria-label", "Highest level");
  form.append(
    element("div", { class: "field" }, span("label", "Levels"), from, " to ", to),
    field("Classes", kind),
    element("div", { class: "field" }, element("label", {}, span("label", "With"), by), " from ", least, " to ", most),
    ...flags,
  );
  const read = () => {
    const whole = from.value === "0" && to.value === `${model.depth}`;
    const limited = least.value !== "" || most.value !== "";
    const checked = [...form.querySelectorAll("[name=has]:checked")].map((box) => box.value);
    go(
      {
        levels: whole ? "" : from.value === to.value ? from.value : `${from.value}-${to.value}`,
        kind: kind.value,
        by: limited ? by.value : "",
        from: least.value,
        to: most.value,
        has: checked.join(","),
      },
      { replace: true },
    );
  };
  form.addEventListener("change", read);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  const draw = (wanted, found) => {
    const [low, high] = levelRange(wanted.levels, model.depth);
    [from.value, to.value, kind.value] = [`${low}`, `${Math.min(high, model.depth)}`, wanted.kind];
    if (measureOf(wanted.by) && [...by.options].some(({ value }) => value === wanted.by)) by.value = wanted.by;
    [least.value, most.value] = [wanted.from, wanted.to];
    const has = wanted.has.split(",");
    for (const box of form.querySelectorAll("[name=has]")) box.checked = has.includes(box.value);
    const chips = filter
      .words(wanted)
      .map(([text, back]) =>
        button(`${text} ×`, () => go(back), { class: "chip", "aria-label": `Remove the filter ${text}` }),
      );
    if (chips.length > 1) {
      chips.push(
        button("Clear all", () => go(Object.fromEntries(FILTERS.map((name) => [name, DEFAULTS[name]]))), {
          class: "link",
        }),
      );
    }
    byId("chips").replaceChildren(...chips);
    const whole = plural(model.size, "class", "classes");
    byId("shown").textContent = found ? `${number.format(found.count)} of ${whole} shown` : whole;
  };
  return { draw };
};
