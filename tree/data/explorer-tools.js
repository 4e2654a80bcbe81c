// The controls above the tree, the header's line, and how further files join in: `extend` is called with the page's
// parts, `addView` makes a view with a button and an address, `addIntro` what the page opens with, `addDetail` a section
// in the page of a class.
const extensions = [],
  views = [],
  intros = [],
  sections = [];
const extend = (start) => {
  extensions.push(start);
};
const addView = (view) => {
  views.push(view);
};
const addIntro = (draw) => {
  intros.push(draw);
};
const addDetail = (draw) => {
  sections.push(draw);
};

const startTools = ({ model, measures, rows, go, stateNow }) => {
  const sort = byId("sort"),
    expand = byId("expand");
  sort.append(
    ...measures.filter(({ hidden }) => !hidden).map(({ id, name }) => option(id, name)),
    option("name", "name"),
  );
  sort.addEventListener("change", () => go({ sort: sort.value, turned: false }, { replace: true }));
  byId("turn").addEventListener("click", () => go({ turned: !stateNow().turned }, { replace: true }));
  byId("as-tree").addEventListener("click", () => go({ flat: false }));
  byId("as-list").addEventListener("click", () => go({ flat: true }));
  expand.append(option("", "Expand"), option("0", "nothing"));
  for (let level = 1; level <= model.depth; level++) expand.append(option(`${level}`, `to level ${level}`));
  expand.addEventListener("change", () => {
    if (expand.value !== "") rows.expandTo(Number(expand.value));
    expand.value = "";
  });
  byId("csv").addEventListener("click", () => {
    const listed = rows.listed();
    download(fileName(".csv"), "text/csv;charset=utf-8", csvOf(listed, model, measures));
    say(`${plural(listed.length, "class", "classes")} written as CSV`);
  });
};

const drawTools = ({ state, rows, found }) => {
  const by = rows.measure(),
    sort = byId("sort"),
    turn = byId("turn");
  sort.value = state.sort === "name" ? "name" : by.id;
  const isUp = state.sort === "name" ? !state.turned : (by.better === "high") !== state.turned;
  turn.textContent = isUp ? "↑" : "↓";
  turn.setAttribute("aria-label", isUp ? "Ascending; sort the other way" : "Descending; sort the other way");
  byId("as-tree").setAttribute("aria-pressed", `${!state.flat}`);
  byId("as-list").setAttribute("aria-pressed", `${state.flat}`);
  byId("expand").hidden = state.flat || byId("expand").options.length < 3;
  byId("column").textContent = by.name + columnNote(by, state.flat, found, byId("expand").options.length > 2);
  byId("tree").setAttribute("aria-label", state.flat ? "List of classes" : "Class hierarchy");
};

const columnNote = (by, isFlat, found, hasTree) => {
  if (by.id === "level" || !hasTree) return "";
  if (isFlat && by.id !== "classes") return " of the class itself";
  if (found) return by.kind === "count" ? ", shown of all" : ", of what is shown";
  return by.id === "classes" ? ", itself and below" : ", with those below";
};

const startHeader = (model, measureOf) => {
  const parts = [plural(model.size, "class", "classes"), plural(data.weights.length, "level", "levels")];
  const images = measureOf("images");
  if (images)
    parts.push(
      plural(
        model.roots.reduce((sum, i) => sum + images.total[i], 0),
        "image",
        "images",
      ),
    );
  if (data.source !== "none") parts.push(brief(data.source));
  if (data.overlay) parts.push(`model: ${brief(data.overlay.title)}`);
  byId("summary").textContent = parts.join(" \u00b7 ");
  const asked = data.source.startsWith("WordNet") ? "Search by name or wnid" : "Search by name or label";
  byId("search").placeholder = asked;
  byId("search").setAttribute("aria-label", asked);
};
