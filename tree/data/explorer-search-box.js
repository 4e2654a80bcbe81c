// The search box and the list below it.
const MAX_RESULTS = 50;

const makeSearchBox = ({ model, search, choose, listAll }) => {
  const box = byId("search"),
    results = byId("results"),
    panel = byId("found"),
    count = byId("found-count");
  let hits = [],
    current = 0;
  const options = () => results.children;
  const mark = (at) => {
    options()[current]?.setAttribute("aria-selected", "false");
    current = Math.max(0, Math.min(at, options().length - 1));
    const chosen = options()[current];
    if (!chosen) {
      box.removeAttribute("aria-activedescendant");
      return;
    }
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", chosen.id);
  };
  const draw = () => {
    const query = box.value.trim();
    panel.hidden = !query;
    box.setAttribute("aria-expanded", `${!!query}`);
    hits = search.find(query);
    results.replaceChildren(...hits.slice(0, MAX_RESULTS).map(({ i }, at) => drawOption(i, at, query)));
    count.replaceChildren(...(query ? drawCount(query) : []));
    byId("found-dropped").textContent = search.dropped(query).join(" ");
    current = 0;
    mark(0);
  };
  const drawOption = (i, at, query) => {
    const made = element("li", { role: "option", id: `result-${at}`, "aria-selected": "false" });
    const word = search.matched(i, query),
      name = model.names[i];
    made.append(element("span", { class: "name" }, ...marked(brief(name), word === name ? query : "")));
    if (word && word !== name && word !== model.wnids[i]) {
      made.append(" ", element("span", { class: "matched" }, ...marked(brief(word), query)));
    }
    if (model.wnids[i] !== name) made.append(" ", span("wnid", brief(model.wnids[i])));
    if (model.glossOf(i) || model.sharingName(i).length) made.append(span("gloss", model.hintOf(i)));
    if (model.parents[i] >= 0)
      made.append(span("where", `in ${model.pathOf(model.parents[i]).map(model.briefly).join(" > ")}`));
    made.addEventListener("click", () => pick(at));
    return made;
  };
  const drawCount = (query) => {
    if (hits.length) {
      const all = `${plural(hits.length, "class", "classes")} found`;
      const rest = hits.length > MAX_RESULTS ? `, first ${MAX_RESULTS} shown` : "";
      return [
        all + rest,
        hits.length > 1
          ? button("Show all in the list", () => {
              clear();
              listAll(query);
            })
          : null,
      ].filter(Boolean);
    }
    const near = search.nearest(query);
    if (!near) return ["0 classes found"];
    const retry = button(
      near,
      () => {
        box.value = near;
        draw();
        box.focus();
      },
      { class: "link" },
    );
    return ["0 classes found. Did you mean ", retry, "?"];
  };
  const clear = () => {
    box.value = "";
    draw();
  };
  const pick = (at) => {
    const hit = hits[at];
    if (hit) {
      clear();
      box.blur();
      choose(hit.i);
    }
  };
  box.addEventListener("input", draw);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && box.value) mark(current + 1);
    else if (event.key === "ArrowUp" && box.value) mark(current - 1);
    else if (event.key === "Enter") pick(current);
    else if (event.key === "Escape") {
      clear();
      box.blur();
      byId("tree").focus();
    } else return;
    event.preventDefault();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".search")) panel.hidden = true;
  });
  box.addEventListener("focus", () => {
    if (box.value) draw();
  });
  return {
    focus: () => {
      box.focus();
      box.select();
    },
  };
};
