(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { wnids, names, lemmas, parents, train, val, weights, active } = data;
  const { children, roots, levels, below, leaves, images, indexOf, hasImages, pathOf, byName, find } = makeModel(data);
  const MAX_RESULTS = 60, MAX_CHILDREN = 80, MAX_THUMBNAILS = 8;
  const number = new Intl.NumberFormat("en-US");

  const pathText = (i) => pathOf(i).map((at) => names[at]).join(" > ");

  // All text is set as text, never as markup, since names may come from anywhere.
  const element = (tag, attributes = {}, ...content) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...content);
    return made;
  };

  const span = (kind, text) => element("span", { class: kind }, text);
  const plural = (count, one, more) => `${number.format(count)} ${count === 1 ? one : more}`;

  const orders = {
    name: byName,
    classes: (a, b) => below[b] - below[a] || byName(a, b),
    images: (a, b) => images[b] - images[a] || byName(a, b),
  };
  let compare = orders.classes;

  // Tree: a parent's rows are created when it is first opened.
  const tree = byId("tree");
  const items = new Map();
  let selected = -1;

  const makeItem = (i) => {
    const belowText = plural(below[i], "class below", "classes below");
    const imagesText = plural(images[i], "image", "images");
    const item = element("li", { role: "treeitem", tabindex: "-1", "aria-selected": "false" });
    item.setAttribute("aria-level", levels[i] + 1);
    item.setAttribute("aria-label", `${names[i]}, ${hasImages ? imagesText : belowText}`);
    const count = span("count", number.format(hasImages ? images[i] : below[i]));
    count.title = hasImages ? "images, including those of all classes below" : "classes below";
    count.hidden = !hasImages && !children[i].length;
    const caret = span("caret", children[i].length ? "\u25b6" : "");
    caret.setAttribute("aria-hidden", "true");
    const row = element("div", { class: "row" }, caret, span("name", names[i]));
    if (names[i] !== wnids[i]) row.append(span("wnid", wnids[i]));
    row.append(count);
    item.append(row);
    if (children[i].length) item.setAttribute("aria-expanded", "false");
    item.dataset.index = i;
    items.set(i, item);
    return item;
  };
  const isOpen = (item) => item.getAttribute("aria-expanded") === "true";
  const open = (i) => {
    const item = items.get(i);
    if (!children[i].length || isOpen(item)) return;
    if (item.lastElementChild.getAttribute("role") !== "group") {
      item.append(element("ul", { role: "group" }, ...[...children[i]].sort(compare).map(makeItem)));
    }
    item.lastElementChild.hidden = false;
    item.setAttribute("aria-expanded", "true");
  };
  const close = (i) => {
    const item = items.get(i);
    if (!isOpen(item)) return;
    item.lastElementChild.hidden = true;
    item.setAttribute("aria-expanded", "false");
  };
  const toggle = (i) => (isOpen(items.get(i)) ? close(i) : open(i));
  const drawTree = () => {
    items.clear();
    tree.replaceChildren(...[...roots].sort(compare).map(makeItem));
    if (tree.firstElementChild) tree.firstElementChild.tabIndex = 0;
  };

  const select = (i, focus = true) => {
    const before = items.get(selected);
    if (before) { before.setAttribute("aria-selected", "false"); before.tabIndex = -1; }
    if (tree.firstElementChild) tree.firstElementChild.tabIndex = -1;
    selected = i;
    const item = items.get(i);
    item.setAttribute("aria-selected", "true");
    item.tabIndex = 0;
    if (focus) item.focus({ preventScroll: true });
    item.firstElementChild.scrollIntoView({ block: "nearest" });
    const hash = `#${encodeURIComponent(wnids[i])}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    drawDetail(i);
  };
  const reveal = (i, focus = true) => {
    pathOf(i).slice(0, -1).forEach(open);
    select(i, focus);
    items.get(i).firstElementChild.scrollIntoView({ block: "center" });
  };

  // Detail
  const link = (i) => {
    const button = element("button", { type: "button", class: "link" }, names[i]);
    button.addEventListener("click", () => reveal(i));
    return button;
  };
  let thumbnails = null;
  const thumbnailsOf = (i) => {
    const block = byId("thumbnails");
    if (!block) return [];
    thumbnails ??= JSON.parse(block.textContent);
    return thumbnails[i] ?? [];
  };
  const samples = (i) => {
    const found = [];
    const queue = [i];
    for (let at = 0; at < queue.length && found.length < MAX_THUMBNAILS; at++) {
      const few = thumbnailsOf(queue[at]);
      for (const picture of at === 0 ? few : few.slice(0, 1)) found.push([queue[at], picture]);
      queue.push(...children[queue[at]]);
    }
    return found.slice(0, MAX_THUMBNAILS);
  };
  const fact = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  const drawDetail = (i) => {
    const level = levels[i];
    const facts = [["Level", level], ["Level weight", active[level] ? +weights[level].toFixed(4) : "no softmax"],
      ["Class index", i], ["Classes below", number.format(below[i])], ["Leaves", number.format(leaves[i])]];
    if (hasImages) {
      facts.push(["Train images", number.format(train[i])], ["Val images", number.format(val[i])],
        ["Images in subtree", number.format(images[i])]);
    }
    const detail = [element("h2", {}, names[i]), element("div", { class: "wnid" }, wnids[i])];
    if (lemmas[i].length) detail.push(element("p", { class: "also" }, lemmas[i].join(", ")));
    const steps = pathOf(i).map((at) => element("li", {}, link(at)));
    detail.push(element("ol", { class: "path", "aria-label": "Path" }, ...steps));
    detail.push(element("dl", {}, ...facts.map(([name, value]) => fact(name, `${value}`))));
    const pictures = samples(i).map(([at, picture]) => (
      element("img", { src: `data:image/jpeg;base64,${picture}`, alt: names[at], title: names[at] })));
    if (pictures.length) {
      const heading = children[i].length ? "Samples of the class and those below" : "Samples";
      detail.push(element("h3", {}, heading), element("div", { class: "thumbs" }, ...pictures));
    }
    if (children[i].length) {
      const all = [...children[i]].sort(compare), rest = all.length - MAX_CHILDREN;
      const list = all.slice(0, MAX_CHILDREN).map((at) => element("li", {}, link(at)));
      if (rest > 0) list.push(element("li", {}, `and ${number.format(rest)} more`));
      detail.push(element("h3", {}, plural(all.length, "child", "children")));
      detail.push(element("ul", { class: "children" }, ...list));
    }
    byId("detail").replaceChildren(...detail);
  };
  const drawHint = () => {
    const texts = [["/", " searches, "], ["\u2191", " "], ["\u2193", " move through the tree, "], ["\u2192", " opens, "],
      ["\u2190", " closes, "], ["Enter", " toggles."]];
    const hint = element("p", { class: "hint" }, "Select a class. ");
    for (const [key, text] of texts) hint.append(element("kbd", {}, key), text);
    byId("detail").replaceChildren(hint);
  };

  // Search
  const search = byId("search"), results = byId("results"), found = byId("found");
  let hits = [], current = 0;
  const mark = (at) => {
    results.children[current]?.setAttribute("aria-selected", "false");
    current = Math.max(0, Math.min(at, results.children.length - 1));
    const option = results.children[current];
    if (!option) { search.removeAttribute("aria-activedescendant"); return; }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", option.id);
  };
  const drawResults = () => {
    const query = search.value.trim().toLowerCase();
    results.hidden = !query;
    tree.hidden = !!query;
    search.setAttribute("aria-expanded", `${!!query}`);
    hits = query ? find(query) : [];
    const more = hits.length > MAX_RESULTS ? `, first ${MAX_RESULTS} shown` : "";
    found.textContent = query ? `${plural(hits.length, "class", "classes")} found${more}` : "";
    results.replaceChildren(...hits.slice(0, MAX_RESULTS).map((i, at) => {
      const option = element("li", { role: "option", id: `result-${at}`, "aria-selected": "false" });
      option.append(span("name", names[i]), " ", span("wnid", wnids[i] === names[i] ? "" : wnids[i]));
      option.append(span("where", pathText(i)));
      option.addEventListener("click", () => choose(at));
      return option;
    }));
    current = 0;
    mark(0);
  };
  const clear = () => { search.value = ""; drawResults(); };
  const choose = (at) => { const i = hits[at]; if (i !== undefined) { clear(); reveal(i); } };
  search.addEventListener("input", drawResults);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && search.value) mark(current + 1);
    else if (event.key === "ArrowUp" && search.value) mark(current - 1);
    else if (event.key === "Enter") choose(current);
    else if (event.key === "Escape") { clear(); (items.get(selected) ?? tree.firstElementChild)?.focus(); }
    else return;
    event.preventDefault();
  });

  // Keys and clicks in the tree
  const indexAt = (node) => Number(node.closest("[role=treeitem]").dataset.index);
  tree.addEventListener("click", (event) => {
    if (!event.target.closest(".row")) return;
    const i = indexAt(event.target);
    if (event.target.closest(".caret") || i === selected) toggle(i); else open(i);
    select(i);
  });
  const lastVisible = (item) => { while (isOpen(item)) item = item.lastElementChild.lastElementChild; return item; };
  const next = (item) => {
    if (isOpen(item)) return item.lastElementChild.firstElementChild;
    while (item && !item.nextElementSibling) item = item.parentElement.closest("[role=treeitem]");
    return item?.nextElementSibling;
  };
  const parentItem = (item) => item.parentElement.closest("[role=treeitem]");
  const firstChild = (item) => item.lastElementChild.firstElementChild;
  const previous = (item) => {
    const before = item.previousElementSibling;
    return before ? lastVisible(before) : parentItem(item);
  };
  const moves = {
    ArrowDown: next,
    ArrowUp: previous,
    Home: () => tree.firstElementChild,
    End: () => lastVisible(tree.lastElementChild),
    ArrowRight: (item, i) => (isOpen(item) ? firstChild(item) : (open(i), item)),
    ArrowLeft: (item, i) => (isOpen(item) ? (close(i), item) : parentItem(item)),
    Enter: (item, i) => (toggle(i), item),
    " ": (item, i) => (toggle(i), item),
  };
  tree.addEventListener("keydown", (event) => {
    const item = event.target.closest("[role=treeitem]");
    if (!item || !(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = moves[event.key](item, indexAt(item));
    if (to) select(indexAt(to));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(false);
    search.focus();
    search.select();
  });

  // The rest
  const show = (plots) => {
    byId("plots").hidden = !plots;
    byId("explorer").hidden = plots;
    byId("show-plots").setAttribute("aria-pressed", `${plots}`);
    byId("show-tree").setAttribute("aria-pressed", `${!plots}`);
  };
  byId("show-plots").addEventListener("click", () => show(true));
  byId("show-tree").addEventListener("click", () => show(false));
  byId("show-plots").parentElement.hidden = !byId("plots").children.length;
  byId("collapse").addEventListener("click", () => {
    const root = pathOf(selected)[0];
    drawTree();
    if (root !== undefined) select(root, false);
  });
  byId("sort").addEventListener("change", (event) => {
    compare = orders[event.target.value];
    drawTree();
    if (selected >= 0) reveal(selected, false);
  });
  if (!hasImages) byId("sort").querySelector("[value=images]").remove();
  const fromHash = () => {
    let wnid;
    try { wnid = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const i = indexOf.get(wnid);
    if (i !== undefined && i !== selected) reveal(i);
  };
  window.addEventListener("hashchange", fromHash);
  const parts = [`${number.format(wnids.length)} classes`, `${number.format(weights.length)} levels`];
  if (hasImages) parts.push(`${number.format(roots.reduce((sum, i) => sum + images[i], 0))} images`);
  if (data.source !== "none") parts.push(data.source);
  if (data.rule !== "none") parts.push(`parents: ${data.rule}`);
  byId("summary").textContent = parts.join(" \u00b7 ");
  if (!data.source.startsWith("WordNet")) {
    byId("search").placeholder = "Search by name or label";
    byId("search").setAttribute("aria-label", "Search by name or label");
  }
  drawTree();
  drawHint();
  fromHash();
  // Thumbnails follow this script in the page, so that the tree appears first.
  document.addEventListener("DOMContentLoaded", () => { if (selected >= 0) drawDetail(selected); });
})();
