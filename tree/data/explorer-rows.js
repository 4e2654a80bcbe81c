// The tree, and the flat list of the same classes. Only the rows in sight are in the page, however many classes
// there are.
const makeRows = ({ model, measures, measureOf, select, leave }) => {
  const { children, roots, parents, levels, names, wnids } = model;
  const tree = byId("tree"),
    sheet = byId("rows");
  const open = new Set();
  let rows = [],
    place = new Map(),
    current = -1,
    wanted = { ...DEFAULTS },
    found = null,
    compare = model.byName,
    drawn = "";
  const height = () => (matchMedia("(pointer: coarse), (max-width: 760px)").matches ? 42 : 28);

  const measure = () => measureOf(wanted.sort) ?? firstOf(measures);
  const isOwn = (by) => wanted.flat && by.id !== "classes";
  const valueOf = (i) => {
    const by = measure();
    return (isOwn(by) ? by.own : by.of(found))[i];
  };
  // Under a filter, a count says of how many: what stands above the classes shown has others, too.
  const textOf = (i) => {
    const by = measure(),
      text = by.text(valueOf(i));
    return found && by.kind === "count" && !isOwn(by) ? `${text} of ${by.text(by.total[i])}` : text;
  };
  // The largest first, or the worst; classes without a value come last. The button turns it around.
  const order = () => {
    const { better } = measure(),
      sign = (better === "high" ? 1 : -1) * (wanted.turned ? -1 : 1);
    if (wanted.sort === "name") return wanted.turned ? (a, b) => model.byName(b, a) : model.byName;
    return inOrder(model, isOwn(measure()) ? measure().own : measure().of(found), sign);
  };
  const kin = (i) => {
    const all = i < 0 ? roots : children[i];
    return (found ? all.filter((at) => found.shown[at]) : [...all]).sort(compare);
  };
  const hasKin = (i) => (found ? children[i].some((at) => found.shown[at]) : children[i].length > 0);
  // Where a class is among those beside it: screen readers cannot count rows that are not in the page.
  const position = new Int32Array(model.size),
    siblings = new Int32Array(model.size);
  const flatten = () => {
    if (wanted.flat) {
      rows = model.order.filter((i) => !found || found.matches[i]).sort(compare);
    } else {
      rows = [];
      const visit = (few) => {
        few.forEach((i, at) => {
          rows.push(i);
          [position[i], siblings[i]] = [at + 1, few.length];
          if (open.has(i)) visit(kin(i));
        });
      };
      visit(kin(-1));
    }
    place = new Map(rows.map((i, at) => [i, at]));
    sheet.style.height = `${rows.length * height()}px`;
    drawn = "";
    paint();
  };

  const makeRow = (i, at) => {
    const isOpen = open.has(i),
      hasChildren = !wanted.flat && hasKin(i);
    const by = measure(),
      text = textOf(i);
    const row = element("div", {
      role: "treeitem",
      id: `row-${i}`,
      class: found && !found.matches[i] ? "row dim" : "row",
      "aria-level": wanted.flat ? 1 : levels[i] + 1,
      "aria-selected": `${i === current}`,
      "aria-expanded": hasChildren ? `${isOpen}` : null,
      "aria-posinset": wanted.flat ? at + 1 : position[i],
      "aria-setsize": wanted.flat ? rows.length : siblings[i],
      "aria-label": `${model.briefly(i)}, ${by.kind === "count" ? `${text} ${by.name}` : `${by.name} ${text}`}`,
    });
    const caret = span("caret", hasChildren ? "\u25b6" : "");
    caret.setAttribute("aria-hidden", "true");
    row.append(caret, span("name", names[i]));
    if (wanted.flat && parents[i] >= 0) row.append(span("where", model.briefly(parents[i])));
    else if (names[i] !== wnids[i]) row.append(span("wnid", wnids[i]));
    row.append(span("count", text));
    row.title = model.glossOf(i) ? `${names[i]}: ${model.glossOf(i)}` : names[i];
    row.style.top = `${at * height()}px`;
    row.style.height = `${height()}px`;
    row.style.setProperty("--level", wanted.flat ? 0 : levels[i]);
    row.dataset.index = i;
    return row;
  };
  const paint = () => {
    const high = height(),
      top = Math.max(0, Math.floor(tree.scrollTop / high) - 10);
    const end = Math.min(rows.length, top + Math.ceil(tree.clientHeight / high) + 20);
    const at = place.get(current);
    const sight = `${top} ${end} ${current} ${rows.length}`;
    if (sight === drawn) return;
    drawn = sight;
    const made = [];
    if (at < top) made.push(makeRow(current, at));
    for (let row = top; row < end; row++) made.push(makeRow(rows[row], row));
    if (at >= end) made.push(makeRow(current, at));
    sheet.replaceChildren(...made);
    const active = at === undefined ? rows[0] : current;
    if (active === undefined) tree.removeAttribute("aria-activedescendant");
    else tree.setAttribute("aria-activedescendant", `row-${active}`);
  };
  const scrollTo = (i, center) => {
    const at = place.get(i),
      high = height();
    if (at === undefined || !tree.clientHeight) return;
    const above = at * high,
      least = above + high - tree.clientHeight;
    if (center && (tree.scrollTop > above || tree.scrollTop < least)) {
      tree.scrollTop = above - tree.clientHeight / 2;
    } else if (tree.scrollTop > above) tree.scrollTop = above;
    else if (tree.scrollTop < least) tree.scrollTop = least;
  };

  const toggle = (i) => {
    if (wanted.flat || !hasKin(i)) return;
    if (open.has(i)) open.delete(i);
    else open.add(i);
    flatten();
  };
  const reveal = (i) => {
    const above = i >= 0 ? model.pathOf(i).slice(0, -1) : [];
    if (!wanted.flat && above.some((at) => !open.has(at))) {
      above.forEach((at) => open.add(at));
      flatten();
    }
    current = i;
    scrollTo(i, true);
    paint();
  };
  const expandTo = (level) => {
    open.clear();
    for (let i = 0; i < model.size; i++) if (levels[i] < level) open.add(i);
    flatten();
    scrollTo(current, true);
    paint();
  };
  const draw = (state, filtered) => {
    const isNew = ["sort", "turned", "flat"].some((name) => state[name] !== wanted[name]);
    [wanted, compare] = [state, model.byName];
    const other = filtered !== found;
    if (other && filtered && filtered.count <= 400) {
      for (let i = 0; i < model.size; i++) if (filtered.shown[i] && parents[i] >= 0) open.add(parents[i]);
    }
    found = filtered;
    compare = order();
    if (isNew || other || !rows.length) {
      flatten();
      tree.scrollTop = 0;
    }
    reveal(state.at);
  };
  // What is shown, in the order of the rows, whether it is open or not: for the export.
  const listed = () => {
    if (wanted.flat) return rows;
    const all = [],
      visit = (few) => {
        for (const i of few) {
          all.push(i);
          visit(kin(i));
        }
      };
    visit(kin(-1));
    return found ? all.filter((i) => found.matches[i]) : all;
  };

  const step = (by) => rows[Math.max(0, Math.min(rows.length - 1, (place.get(current) ?? -1) + by))];
  const startingWith = (letter) => {
    const from = (place.get(current) ?? -1) + 1;
    for (let at = 0; at < rows.length; at++) {
      const i = rows[(from + at) % rows.length];
      if (names[i].toLowerCase().startsWith(letter)) return i;
    }
    return undefined;
  };
  const page = () => Math.max(1, Math.floor(tree.clientHeight / height()) - 1);
  const moves = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    PageDown: () => step(page()),
    PageUp: () => step(-page()),
    Home: () => rows[0],
    End: () => rows[rows.length - 1],
    ArrowRight: (i) => {
      if (wanted.flat || i === undefined || !hasKin(i)) return i;
      if (open.has(i)) return kin(i)[0];
      toggle(i);
      return i;
    },
    ArrowLeft: (i) => {
      if (wanted.flat || i === undefined) return i;
      if (open.has(i) && hasKin(i)) {
        toggle(i);
        return i;
      }
      return parents[i] >= 0 ? parents[i] : i;
    },
    Enter: (i) => {
      if (i !== undefined) toggle(i);
      return i;
    },
    " ": (i) => {
      if (i !== undefined) toggle(i);
      return i;
    },
  };
  tree.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = place.has(current) ? current : undefined;
    let to;
    if (event.key in moves) to = moves[event.key](at ?? (event.key.startsWith("Arrow") ? at : rows[0]));
    else if (/^[\p{L}\p{N}]$/u.test(event.key)) to = startingWith(event.key.toLowerCase());
    else return;
    event.preventDefault();
    if (to === undefined) return;
    current = to;
    scrollTo(to, false);
    paint();
    select(to, true);
  });
  tree.addEventListener("click", (event) => {
    const row = event.target.closest("[role=treeitem]");
    if (!row) return;
    const i = Number(row.dataset.index),
      isCaret = !!event.target.closest(".caret");
    if (isCaret || i === current || !open.has(i)) toggle(i);
    if (!isCaret || i !== current) select(i, false);
    if (!isCaret) leave();
  });
  tree.addEventListener("scroll", paint, { passive: true });
  new ResizeObserver(() => {
    if (tree.clientHeight) {
      drawn = "";
      flatten();
      scrollTo(current, true);
    }
  }).observe(tree);
  return { draw, expandTo, listed, measure };
};
