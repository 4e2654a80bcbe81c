// What the page says of a class, and of all of them where none is selected.
const MAX_CHILDREN = 120,
  MAX_SAMPLES = 12;

const makeDetail = ({ model, measures, measureOf, samples, hrefOf, openPicture, sections, intros, map, dropped }) => {
  const head = byId("head"),
    rest = byId("rest"),
    mapSlot = byId("map-slot");
  mapSlot.append(map.root);
  const { names, briefly, wnids, lemmas, children, levels, below, leaves, roots, lonely } = model;
  const { train, val, weights, active } = data;
  const hasImages = !!measureOf("images");

  const classLink = (i) => element("a", { href: hrefOf({ at: i }), title: model.glossOf(i) || null }, briefly(i));
  const fact = (name, value, help = "") =>
    element("div", { title: help || null }, element("dt", {}, name), element("dd", {}, `${value}`));
  const path = (i) => {
    const steps = [
      element("a", { href: hrefOf({ at: -1 }) }, "All classes"),
      ...model
        .pathOf(i)
        .map((at) => (at === i ? element("span", { "aria-current": "page" }, briefly(at)) : classLink(at))),
    ];
    return element(
      "nav",
      { "aria-label": "Path" },
      element("ol", { class: "path" }, ...steps.map((step) => element("li", {}, step))),
    );
  };
  const facts = (i) => {
    const level = levels[i],
      said = [fact("Class index", i)];
    if (model.depth)
      said.unshift(
        fact("Level", level, "the number of classes above it"),
        fact("Level weight", active[level] ? +weights[level].toFixed(4) : "none", "what the level counts in training"),
      );
    if (children[i].length)
      said.push(fact("Classes below", number.format(below[i])), fact("Leaves", number.format(leaves[i])));
    if (hasImages) {
      said.push(fact("Train images", number.format(train[i])), fact("Val images", number.format(val[i])));
      if (children[i].length) said.push(fact("Images in subtree", number.format(measureOf("images").total[i])));
    }
    for (const { name, own, total, text, id, hidden, reason, help } of measures) {
      if (["images", "val", "classes", "level"].includes(id) || (hidden && !(reason && own[i] > 0))) continue;
      const title = name[0].toUpperCase() + name.slice(1);
      if (!Number.isNaN(own[i])) said.push(fact(title, text(own[i]), help));
      if (children[i].length && !hidden && !Number.isNaN(total[i]))
        said.push(fact(`${title}, subtree`, text(total[i]), help));
    }
    return element("dl", { class: "facts" }, ...said);
  };
  const thumbs = (pictures) =>
    element(
      "div",
      { class: "thumbs" },
      ...pictures.map((picture, at) => {
        const made = button("", () => openPicture(pictures, at), {
          class: "thumb",
          "aria-label": `Sample of ${briefly(picture.index)}, ${picture.key}`,
          title: briefly(picture.index),
        });
        made.append(element("img", { src: picture.source, alt: "" }));
        return made;
      }),
    );
  const namesakes = (i) => {
    const others = model.sharingName(i);
    if (!others.length) return null;
    const list = others.map((at) =>
      element(
        "li",
        {},
        element("a", { href: hrefOf({ at }) }, briefly(at)),
        " ",
        span("wnid", wnids[at]),
        " ",
        span("hint", model.hintOf(at)),
      ),
    );
    return element(
      "section",
      { class: "namesakes" },
      element("h3", {}, `Also called ${briefly(i)}`),
      element("ul", {}, ...list),
    );
  };
  const childList = (i) => {
    if (!children[i].length) return null;
    const by = hasImages ? measureOf("images") : measureOf("classes");
    const all = [...children[i]].sort((a, b) => by.total[b] - by.total[a] || model.byName(a, b));
    const list = all
      .slice(0, MAX_CHILDREN)
      .map((at) => element("li", {}, classLink(at), " ", span("hint", short(by.total[at]))));
    if (all.length > MAX_CHILDREN)
      list.push(element("li", {}, `and ${number.format(all.length - MAX_CHILDREN)} more in the tree`));
    return element(
      "section",
      {},
      element("h3", {}, plural(all.length, "child", "children"), span("hint", `, with ${by.name} of each`)),
      element("ul", { class: "children" }, ...list),
    );
  };

  // WordNet's examples stand in quotation marks behind the definition.
  const gloss = (text) => {
    const [examples = ""] = text.match(/[;:,]\s*".*$/s) ?? [];
    const definition = text.slice(0, text.length - examples.length);
    return element("p", { class: "gloss" }, definition, examples ? span("hint", examples) : null);
  };
  const drawClass = (i) => {
    const title = element("h2", { tabindex: "-1", id: "class-name" }, names[i]);
    const own = wnids[i] === names[i] ? null : span("wnid", wnids[i]);
    const pictures = samples.within(i, MAX_SAMPLES);
    head.replaceChildren(
      ...[
        path(i),
        element("div", { class: "title" }, title, own),
        model.glossOf(i) ? gloss(model.glossOf(i)) : null,
        lemmas[i].length ? element("p", { class: "also" }, "also: ", lemmas[i].join(", ")) : null,
        pictures.length
          ? element("h3", {}, children[i].length ? "Samples of the class and those below" : "Samples")
          : null,
        pictures.length ? thumbs(pictures) : null,
      ].filter(Boolean),
    );
    mapSlot.hidden = !children[i].length;
    rest.replaceChildren(...[...sections.map((draw) => draw(i)), facts(i), childList(i), namesakes(i)].filter(Boolean));
  };

  const card = (href, name, note, source) =>
    element(
      "a",
      { class: "card", href },
      source ? element("img", { src: source, alt: "", loading: "lazy" }) : null,
      element(
        "span",
        { class: "card-text" },
        element("span", { class: "name" }, ...breakable(name)),
        element("span", { class: "hint" }, ...note),
      ),
    );
  const drawAll = (unknown, found) => {
    const lost = unknown ? [`There is no class ${unknown} here.`, ...dropped(unknown)].join(" ") : "";
    const text = lost || `Select a tile to ${model.depth ? "go down" : "open its class"}, or search for a class.`;
    head.replaceChildren(
      element("h2", { tabindex: "-1", id: "class-name" }, "All classes"),
      element("p", { class: "hint" }, text),
      ...(found || lost ? [] : intros.map((draw) => draw())),
    );
    mapSlot.hidden = found?.count === 0;
    const by = firstOf(measures),
      isFolded = lonely.length > FEW && roots.length > lonely.length;
    const few = roots
      .filter((i) => (!isFolded || children[i].length) && (!found || found.shown[i]))
      .sort(inOrder(model, by.of(found), by.better === "high" ? 1 : -1))
      .slice(0, MAX_CHILDREN);
    // Under a filter, each count says how many of all are shown.
    const counted = (id, i, one, more) => {
      const { of, total } = measureOf(id);
      if (found) return `${short(of(found)[i])} of ${short(total[i])} ${more}`;
      return `${short(total[i])} ${total[i] === 1 ? one : more}`;
    };
    const note = (i) =>
      [
        below[i] ? counted("classes", i, "class", "classes") : "",
        hasImages ? counted("images", i, "image", "images") : "",
        by.kind === "count" || Number.isNaN(by.total[i]) ? "" : by.text(by.of(found)[i]),
      ]
        .filter(Boolean)
        .flatMap((text, at) => [at ? " · " : "", span("piece", text)]);
    const cards = few.map((i) => card(hrefOf({ at: i }), briefly(i), note(i), samples.first(i)));
    if (isFolded && !found) {
      cards.push(
        card(
          hrefOf({ kind: "lonely", flat: true }),
          `${number.format(lonely.length)} classes without parent or children`,
          ["as a list"],
          samples.first(lonely[0]),
        ),
      );
    }
    const [one, more] = model.depth ? ["root", "roots"] : ["class", "classes"];
    const heading = found
      ? `${more[0].toUpperCase()}${more.slice(1)} of what is shown`
      : plural(roots.length, one, more);
    rest.replaceChildren(
      element("h3", {}, heading, by.better === "neither" ? "" : span("hint", `, worst ${by.name} first`)),
      element("div", { class: "cards" }, ...cards),
      found && !few.length ? element("p", { class: "hint" }, "No class passes the filter.") : "",
    );
  };
  // Another class is shown from its top on; one that was opened from the map, with the map where it was.
  let shown = -1;
  const draw = (state, found) => {
    const panel = byId("detail");
    const isInMap = map.root.contains(document.activeElement) || map.isZooming();
    const before = map.root.getBoundingClientRect().top;
    if (state.at >= 0) drawClass(state.at);
    else drawAll(state.unknown, found);
    if (!mapSlot.hidden) map.draw(state, found);
    else if (isInMap) byId("class-name").focus();
    if (state.at !== shown) {
      const isKept = isInMap && !mapSlot.hidden;
      panel.scrollTop = isKept ? panel.scrollTop + map.root.getBoundingClientRect().top - before : 0;
    }
    shown = state.at;
  };
  return { draw, classLink };
};
