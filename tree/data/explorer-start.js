// Everything is put together here, and the page follows its address.
const explore = () => {
  const model = makeModel(data),
    measures = makeMeasures(data, model);
  const measureOf = (id) => measures.find((measure) => measure.id === id);
  const main = byId("explorer");
  let state = { ...DEFAULTS },
    found = null,
    applied = null,
    filterKey = "",
    pushed = false;

  const changed = (changes) => {
    const next = { ...state, sample: "", ...changes };
    if (("at" in changes || "flat" in changes) && !("view" in changes)) next.view = "";
    return next;
  };
  const hrefOf = (changes) => hashOf(changed(changes), model.wnids);
  const go = (changes, { replace = false } = {}) => {
    const hash = hrefOf(changes);
    if (hash === (location.hash || "#")) return;
    if (replace) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    follow();
  };

  const search = makeSearch(model, (measureOf("images") ?? measureOf("classes")).total);
  const filter = makeFilter({ model, measures, measureOf, search });
  const samples = makeSamples({ model });
  const dialog = makeDialog({
    model,
    hrefOf,
    opened: (picture, isTurn) => {
      pushed ||= !isTurn;
      go({ sample: picture.key }, { replace: isTurn });
    },
    closed: () => {
      if (!state.sample) return;
      if (pushed) history.back();
      else go({ sample: "" }, { replace: true });
      pushed = false;
    },
  });
  const map = makeMap({ model, measures, measureOf, pictureOf: samples.first, hrefOf, go });
  const detail = makeDetail({
    model,
    measures,
    measureOf,
    samples,
    hrefOf,
    openPicture: dialog.open,
    sections,
    intros,
    map,
    dropped: search.dropped,
  });
  const showPane = (pane) => {
    main.dataset.pane = pane;
    drawNav();
  };
  const rows = makeRows({
    model,
    measures,
    measureOf,
    select: (i, isKey) => go({ at: i }, { replace: isKey }),
    leave: () => {
      if (matchMedia("(max-width: 760px)").matches) showPane("detail");
    },
  });
  const searchBox = makeSearchBox({
    model,
    search,
    choose: (i) => {
      go({ at: i });
      showPane("detail");
      byId("tree").focus({ preventScroll: true });
    },
    listAll: (q) => {
      go({ q, flat: true, view: "" });
      showPane("tree");
    },
  });
  const help = makeHelp();
  const form = makeFilterForm({ model, measures, measureOf, filter, go });
  const plots = makePlots({ model, measures, measureOf, hrefOf });
  startTools({ model, measures, measureOf, rows, go, stateNow: () => state });
  for (const start of extensions) {
    start({
      model,
      measures,
      measureOf,
      samples,
      hrefOf,
      go,
      classLink: detail.classLink,
      openPicture: dialog.open,
      stateNow: () => state,
    });
  }
  addView({
    id: "plots",
    name: "Plots",
    draw: (container) => container.replaceChildren(...plots.draw()),
    hidden: !plots.draw().length,
  });

  const drawNav = () => {
    const narrow = matchMedia("(max-width: 760px)").matches;
    const pressed = { tree: !state.view && narrow && main.dataset.pane === "tree" };
    pressed.detail = !state.view && !pressed.tree;
    for (const each of byId("views").children) {
      each.setAttribute("aria-pressed", `${pressed[each.dataset.pane] ?? each.dataset.view === state.view}`);
    }
  };
  const startNav = () => {
    const pane = (name, text, kind) =>
      button(
        text,
        () => {
          go({ view: "" });
          showPane(name);
        },
        { "data-pane": name, class: kind },
      );
    byId("views").append(pane("tree", "Tree", "narrow"), pane("detail", "Explore", ""));
    for (const { id, name, hidden } of views.filter((view) => !view.hidden)) {
      byId("views").append(button(name, () => go({ view: id }), { "data-view": id }));
    }
    if (byId("views").children.length < 3) byId("views").classList.add("alone");
  };
  const drawView = () => {
    const view = views.find(({ id }) => id === state.view);
    main.hidden = !!view;
    byId("view").hidden = !view;
    if (!view) {
      state.view = "";
      byId("view").replaceChildren();
      return;
    }
    byId("view").setAttribute("aria-label", view.name);
    view.draw(byId("view"));
  };
  const drawSample = () => {
    if (!state.sample) {
      dialog.close();
      return;
    }
    if (dialog.shows(state.sample)) return;
    const list = samples.listWith(state.sample, state.at);
    if (list.length)
      dialog.open(
        list,
        list.findIndex(({ key }) => key === state.sample),
        true,
      );
  };
  const follow = () => {
    state = stateOf(location.hash, model.indexOf);
    const address = hashOf({ ...state, sample: "" }, model.wnids) + state.unknown;
    if (applied !== address) drawState();
    applied = address;
    drawSample();
  };
  const drawState = () => {
    const key = FILTERS.map((name) => state[name]).join("\n");
    if (key !== filterKey) {
      found = filter.apply(state);
      filterKey = key;
    }
    byId("filter-count").textContent = found ? `(${filter.words(state).length})` : "";
    drawView();
    drawNav();
    form.draw(state, found);
    rows.draw(state, found);
    drawTools({ state, rows, found });
    detail.draw(state, found);
  };
  startNav();
  startHeader(model, measureOf);
  byId("as-tree").parentElement.hidden = !model.depth;
  window.addEventListener("popstate", follow);
  window.addEventListener("hashchange", follow);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !document.querySelector("dialog[open]")) searchBox.focus();
    else if (event.key === "?") help.open();
    else return;
    event.preventDefault();
  });
  follow();
  document.documentElement.dataset.ready = "tree";
  performance.mark("interactive");
  // Thumbnails follow this script in the page, so that the tree appears first.
  const withPictures = () => {
    if (samples.any()) {
      samples.forget();
      detail.draw(state, found);
      drawSample();
    }
    document.documentElement.dataset.ready = "all";
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", withPictures);
  else withPictures();
};

unpacked(byId("data").textContent).then(
  (value) => {
    data = value;
    explore();
  },
  (error) => {
    byId("summary").textContent =
      `This page cannot unpack its data: ${error.message}. It needs a browser of 2023 or later.`;
    throw error;
  },
);
