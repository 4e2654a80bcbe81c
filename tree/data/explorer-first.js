// What a page with a model opens with: the classes that fail, and the images that it is surest about and wrong.
const FIRST_CLASSES = 6,
  FIRST_IMAGES = 8;

extend(({ model, measures, samples, hrefOf, classLink, openPicture }) => {
  const top1 = measures.find(({ name }) => name === "top-1 accuracy");
  if (!data.overlay || !top1) return;
  const { briefly } = model,
    most = mostTaken();
  const failing = (data.overlay.lists[0]?.classes ?? []).filter((i) => top1.own[i] < 1).slice(0, FIRST_CLASSES);
  const takenFor = (i) => {
    const [guess, images] = most.get(i) ?? [-1, 0];
    return guess < 0 ? "" : element("span", {}, classLink(guess), span("hint", ` ${number.format(images)}×`));
  };
  const classes = () =>
    element(
      "div",
      {},
      element("h3", {}, "Classes that fail most"),
      tableOf(
        [
          ["class", ""],
          ["top-1", "end"],
          ["taken for", ""],
        ],
        failing.map((i) => [
          classLink(i),
          element("b", {}, top1.text(top1.own[i]), span("hint", ` of ${number.format(data.val[i])}`)),
          takenFor(i),
        ]),
      ),
      element(
        "p",
        { class: "hint more" },
        element("a", { href: hrefOf({ at: -1, flat: true, sort: top1.id }) }, "All, worst first"),
        element("a", { href: hrefOf({ at: -1, view: "model" }) }, "Scores and confused pairs"),
      ),
    );
  // The surest wrong answer of each class, then the next one of each.
  const wrong = () => {
    const places = new Map(),
      list = samples.allJudged().filter(({ guess, index }) => guess !== index);
    list.sort((a, b) => b.probability - a.probability);
    for (const { index, key } of list) {
      const before = places.get(index) ?? new Map();
      places.set(index, before.set(key, before.size));
    }
    const placeOf = ({ index, key }) => places.get(index).get(key);
    return list.sort((a, b) => placeOf(a) - placeOf(b)).slice(0, FIRST_IMAGES);
  };
  const wrongImages = () => {
    const list = wrong();
    if (!list.length) return null;
    return element(
      "div",
      { class: "judged" },
      element("h3", {}, "Wrong images, the surest first"),
      element(
        "div",
        { class: "thumbs" },
        ...list.map((picture, at) => {
          const said = `${briefly(picture.index)}, taken for ${briefly(picture.guess)}, ${percent(picture.probability)}`;
          const made = button("", () => openPicture(list, at), { class: "thumb", "aria-label": said, title: said });
          made.append(element("img", { src: picture.source, alt: "" }));
          const caption = element(
            "figcaption",
            {},
            span("name", briefly(picture.index)),
            ` taken for ${briefly(picture.guess)}`,
          );
          return element("figure", {}, made, caption);
        }),
      ),
    );
  };
  addIntro(() => {
    const images = data.val.reduce((sum, count) => sum + count, 0);
    const score = `${top1.text(top1.whole)} top-1 accuracy on ${plural(images, "val image", "val images")}.`;
    return element(
      "section",
      { class: "model first" },
      element(
        "p",
        {},
        element("strong", {}, data.overlay.title),
        `: ${score}`,
        failing.length ? "" : " No class fails: all are right.",
      ),
      failing.length ? element("div", { class: "beside" }, ...[classes(), wrongImages()].filter(Boolean)) : null,
    );
  });
});
