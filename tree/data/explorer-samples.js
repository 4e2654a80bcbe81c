// Samples: pictures of a class, and the dialog that shows one of them larger.
const makeSamples = ({ model, wnids }) => {
  // The pictures follow the script in the page: until all of it is read, there are none.
  const NONE = { shards: [], classes: {}, judged: {} };
  let block = null;
  const loaded = () => {
    if (document.readyState === "loading") return NONE;
    block ??= JSON.parse(byId("thumbnails").textContent);
    return block;
  };
  const picture =
    (i) =>
    ([key, shard, image, guess = -1, probability = null]) => ({
      index: i,
      key,
      split: loaded().shards[shard][0],
      shard: loaded().shards[shard][1],
      guess,
      probability,
      source: `data:image/jpeg;base64,${image}`,
    });
  const of = (i) => (loaded().classes[i] ?? []).map(picture(i));
  const judgedOf = (i) => (loaded().judged[i] ?? []).map(picture(i));
  const allJudged = () => Object.keys(loaded().judged).flatMap((i) => judgedOf(Number(i)));
  // Those of the class, of which half the places are for the classes below it: one of each, nearest first.
  const within = (i, most) => {
    const own = i < 0 ? [] : of(i);
    const isLeaf = i >= 0 && !model.children[i].length;
    const few = own.slice(0, isLeaf ? most : Math.ceil(most / 2));
    const queue = i < 0 ? [...model.roots] : [...model.children[i]];
    for (let at = 0; at < queue.length && few.length < most; at++) {
      few.push(...of(queue[at]).slice(0, 1));
      for (const child of model.children[queue[at]]) queue.push(child);
    }
    return [...few, ...own.slice(few.filter(({ index }) => index === i).length)].slice(0, most);
  };
  // The pictures among which a key is: those below a class, those that a model was asked about, or its own class's.
  const listWith = (key, i) => {
    const has = (list) => list.some((each) => each.key === key);
    const near = [within(i, MAX_SAMPLES), i < 0 ? [] : judgedOf(i)].find(has);
    if (near) return near;
    for (const [group, read] of [
      [loaded().judged, judgedOf],
      [loaded().classes, of],
    ]) {
      const own = Object.keys(group).find((each) => group[each].some((record) => record[0] === key));
      if (own !== undefined) return read(Number(own));
    }
    return [];
  };
  const firsts = new Map();
  const first = (i) => {
    if (document.readyState === "loading") return null;
    if (!firsts.has(i)) firsts.set(i, within(i, 1)[0]?.source ?? null);
    return firsts.get(i);
  };
  const any = () => [loaded().classes, loaded().judged].some((group) => Object.keys(group).length > 0);
  return { of, judgedOf, allJudged, within, listWith, first, any, forget: () => firsts.clear() };
};

const makeDialog = ({ model, hrefOf, opened, closed }) => {
  const dialog = byId("sample");
  let list = [],
    at = 0;
  const shown = () => list[at];
  const row = (name, ...value) => element("div", {}, element("dt", {}, name), element("dd", {}, ...value));
  const classText = (i) => element("a", { href: hrefOf({ at: i, sample: "" }) }, model.briefly(i));
  const draw = () => {
    const { index, key, split, shard, source, guess, probability } = shown();
    const image = element("img", { src: source, alt: `Sample of ${model.briefly(index)}` });
    const size = element("p", { class: "hint" });
    image.addEventListener("load", () => {
      const pixels = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
      size.textContent = `Enlarged from ${pixels}, which this page holds${shard ? "; the shard has it in full" : ""}.`;
    });
    const facts = element(
      "dl",
      {},
      row("Class", classText(index)),
      row("Key", element("code", {}, key)),
      row("Split", split),
      shard ? row("Shard", element("code", {}, shard)) : null,
    );
    if (guess >= 0) {
      const sure = probability === null ? "" : ` (${percent(probability)})`;
      facts.append(row("The model says", classText(guess), sure, guess === index ? " – right" : " – wrong"));
    }
    const place = `${number.format(at + 1)} of ${number.format(list.length)}`;
    const previous = button("‹ Previous", () => turn(-1), { disabled: at === 0 });
    const next = button("Next ›", () => turn(1), { disabled: at === list.length - 1 });
    const copy = button(
      "Copy key",
      async () => {
        await copyText(shown().key);
        copy.textContent = "Copied";
        setTimeout(() => {
          copy.textContent = "Copy key";
        }, 1500);
      },
      { id: "copy-key" },
    );
    const had = dialog.contains(document.activeElement) ? document.activeElement.textContent : "";
    dialog.replaceChildren(
      element(
        "div",
        { class: "sample-head" },
        element("h2", { id: "sample-name" }, model.names[index]),
        button("×", close, { class: "close", "aria-label": "Close" }),
      ),
      element("div", { class: "picture" }, image),
      size,
      facts,
      element("div", { class: "sample-foot" }, previous, span("place", place), next, copy),
    );
    const again = [...dialog.querySelectorAll("button:not([disabled])")].find((each) => each.textContent === had);
    (again ?? (next.disabled ? copy : next)).focus();
    say(`${model.briefly(index)}, sample ${place}, key ${key}`);
  };
  const turn = (by) => {
    const to = at + by;
    if (to < 0 || to >= list.length) return;
    at = to;
    draw();
    opened(shown(), true);
  };
  const open = (pictures, position, isAsked = false) => {
    [list, at] = [pictures, position];
    if (!dialog.open) dialog.showModal();
    draw();
    if (!isAsked) opened(shown(), false);
  };
  const close = () => {
    if (dialog.open) dialog.close();
  };
  dialog.addEventListener("close", () => closed());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") turn(1);
    else if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "Home") turn(-at);
    else if (event.key === "End") turn(list.length - 1 - at);
    else if (event.key === "c") byId("copy-key").click();
    else return;
    event.preventDefault();
  });
  return { open, close, shows: (key) => dialog.open && shown()?.key === key };
};
