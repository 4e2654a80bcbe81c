// What a model does: a view of its own, and a section in the page of a class. Only where the page has an overlay.
const MAX_DOTS = 1500,
  MAX_STOPS = 60,
  MAX_PAIRS = 500,
  MAX_JUDGED = 8;

extend(({ model, measures, samples, hrefOf, classLink, openPicture }) => {
  if (!data.overlay) return;
  const { title, facts, lists, pairs } = data.overlay,
    { briefly, pathOf } = model;
  const named = (name) => measures.find((measure) => measure.name === name);
  const top1 = named("top-1 accuracy"),
    accuracy = named("accuracy of answers"),
    specificity = named("specificity of answers");
  const imagesOf = (i) => data.val[i];
  const rootOf = (i) => pathOf(i)[0];
  const common = (a, b) => {
    const [one, other] = [pathOf(a), pathOf(b)];
    return one.filter((at, level) => at === other[level]).pop() ?? -1;
  };
  const isAcross = ([truth, guess]) => rootOf(truth) !== rootOf(guess);

  const overview = () => {
    const shown = data.overlay.measures
      .map(named)
      .filter(({ better, whole }) => better !== "low" && !Number.isNaN(whole));
    const said = [...facts, ...shown.map(({ name, text, whole }) => [name, text(whole)])];
    const list = (kind, rows) =>
      element(
        "dl",
        { class: kind },
        ...rows.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, `${value}`))),
      );
    return element(
      "figure",
      { class: "wide" },
      element("figcaption", {}, element("h3", {}, title)),
      list("facts", said),
      element(
        "details",
        {},
        element("summary", {}, "What these say"),
        list(
          "meanings",
          shown.map(({ name, help }) => [name, help]),
        ),
      ),
    );
  };

  const histogram = () => {
    const values = [...top1.own.keys()].filter((i) => !Number.isNaN(top1.own[i]));
    if (values.length < 2) return null;
    const counts = new Array(11).fill(0);
    for (const i of values) counts[Math.floor(top1.own[i] * 10 + 1e-9)] += 1;
    counts[9] += counts.pop();
    return barChart({
      title: "Classes by top-1 accuracy",
      unit: "top-1 accuracy in percent",
      note: "A bar leads to its classes.",
      bars: counts.map((value, at) => ({
        value,
        label: `${at * 10}–${at * 10 + 10}`,
        title: `${plural(value, "class", "classes")} from ${at * 10} to ${at * 10 + 10} %`,
        href: value
          ? hrefOf({
              view: "",
              at: -1,
              flat: true,
              sort: top1.id,
              by: top1.id,
              from: `${at * 10}`,
              to: at === 9 ? "100" : `${at * 10 + 9.999}`,
            })
          : null,
      })),
    });
  };

  // A dot per class: how much its answers say, and how often they are right.
  const scatter = () => {
    if (!accuracy || !specificity) return null;
    const all = [...accuracy.own.keys()].filter(
      (i) => !Number.isNaN(accuracy.own[i]) && !Number.isNaN(specificity.own[i]),
    );
    if (all.length < 2) return null;
    const dots = all.sort((a, b) => imagesOf(b) - imagesOf(a) || a - b).slice(0, MAX_DOTS);
    const few = dots.length < all.length ? ` The ${number.format(MAX_DOTS)} classes with the most val images.` : "";
    return makeFigure(
      "Specificity against accuracy",
      `A dot per class: right, the answers say more; up, more of them are the class or one above it.${few}`,
      (width) => {
        const left = 46,
          top = 26,
          wide = width - left - 14,
          tall = 300,
          base = top + tall;
        const drawn = svg("svg", {
          width,
          height: base + 38,
          viewBox: `0 0 ${width} ${base + 38}`,
          role: "group",
          "aria-label": "Specificity against accuracy",
        });
        const x = (share) => left + share * wide,
          y = (share) => base - share * tall;
        for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
          drawn.append(
            svg("line", { class: "grid", x1: left, x2: left + wide, y1: y(tick), y2: y(tick) }),
            svg("text", { class: "tick end", x: left - 6, y: y(tick) + 4 }, `${100 * tick} %`),
            svg("text", { class: "tick middle", x: x(tick), y: base + 16 }, `${100 * tick} %`),
          );
        }
        const stop = dots.length > MAX_STOPS ? "-1" : null; // else the Tab key would not get past them
        for (const i of dots) {
          const [right, said] = [accuracy, specificity].map((measure) => measure.text(measure.own[i]));
          const text = `${briefly(i)}: specificity ${said}, accuracy ${right}`;
          drawn.append(
            svg(
              "a",
              { class: "bar", href: hrefOf({ view: "", at: i }), "aria-label": text, tabindex: stop },
              svg("title", {}, text),
              svg("circle", { class: "mark dot tone-0", cx: x(specificity.own[i]), cy: y(accuracy.own[i]), r: 4 }),
            ),
          );
        }
        drawn.append(
          svg("line", { class: "axis", x1: left, x2: left + wide, y1: base, y2: base }),
          svg("text", { class: "tick middle", x: left + wide / 2, y: base + 34 }, "specificity of the answers"),
          svg("text", { class: "tick", x: left - 40, y: 10 }, "accuracy of the answers"),
        );
        return drawn;
      },
    );
  };

  const mostOf = mostTaken();
  const ranked = ({ title: head, help, measure, classes }) => {
    const shown = named(measure);
    return growing(
      head,
      help,
      [
        ["class", ""],
        ["images", "end"],
        [measure, "end"],
        ["taken for", ""],
      ],
      classes.map((i) => () => {
        const [guess, images] = mostOf.get(i) ?? [-1, 0];
        const taken =
          guess < 0
            ? ""
            : element("span", {}, classLink(guess), ` ${number.format(images)} of ${number.format(imagesOf(i))}`);
        return [classLink(i), number.format(imagesOf(i)), shown.text(shown.own[i]), taken];
      }),
    );
  };
  const pairTable = (head, note, some, hasCommon) => {
    if (!some.length) return null;
    const heads = [
      ["class", ""],
      ["taken for", ""],
      ["images", "end"],
      ["share", "end"],
      ...(hasCommon ? [["both are", ""]] : []),
    ];
    return growing(
      head,
      note,
      heads,
      some
        .slice(0, MAX_PAIRS)
        .map(([truth, guess, images]) => () => [
          classLink(truth),
          classLink(guess),
          number.format(images),
          imagesOf(truth) ? percent(images / imagesOf(truth)) : "",
          ...(hasCommon ? [classLink(common(truth, guess))] : []),
        ]),
    );
  };
  const hasTree = model.depth > 0;
  const draw = (container) =>
    container.replaceChildren(
      ...[
        overview(),
        histogram(),
        scatter(),
        ...lists.map(ranked),
        pairTable(
          hasTree ? "Most confused pairs below one root" : "Most confused pairs",
          hasTree ? "Two classes with a class above both." : "A class, and what its images are taken for.",
          pairs.filter((pair) => !hasTree || !isAcross(pair)),
          hasTree,
        ),
        hasTree
          ? pairTable(
              "Most confused pairs across roots",
              "Two classes with no class above both.",
              pairs.filter(isAcross),
              false,
            )
          : null,
      ].filter(Boolean),
    );
  addView({ id: "model", name: "Model", draw });

  // In the page of a class: what it is taken for, what is taken for it, and its wrong images beside the right ones.
  const judgedWithin = (i) => {
    const few = [],
      queue = [i];
    for (let at = 0; at < queue.length && few.length < 4 * MAX_JUDGED; at++) {
      few.push(...samples.judgedOf(queue[at]));
      queue.push(...model.children[queue[at]]);
    }
    return few;
  };
  const strip = (text, list, all) =>
    element(
      "div",
      { class: "judged" },
      element("h4", {}, text),
      list.length
        ? element(
            "div",
            { class: "thumbs" },
            ...list.map((picture) => {
              const said = `${briefly(picture.guess)}, ${percent(picture.probability)}`,
                of = picture.index === picture.guess ? "" : `${briefly(picture.index)} taken for `;
              const made = button("", () => openPicture(all, all.indexOf(picture)), {
                class: "thumb",
                "aria-label": `${of}${said}, ${picture.key}`,
                title: `${of}${said}`,
              });
              made.append(element("img", { src: picture.source, alt: "" }));
              const share = span("piece", percent(picture.probability));
              return element(
                "figure",
                {},
                made,
                element("figcaption", {}, ...breakable(`${briefly(picture.guess)}, `), share),
              );
            }),
          )
        : element("p", { class: "hint" }, "none in this page"),
    );
  const confusion = (text, some, other) =>
    some.length
      ? element(
          "div",
          {},
          element("h4", {}, text),
          element(
            "ul",
            { class: "children" },
            ...some
              .slice(0, MAX_JUDGED)
              .map((pair) => element("li", {}, classLink(pair[other]), " ", span("hint", number.format(pair[2])))),
          ),
        )
      : null;
  const scoreOf = (i) => {
    if (!Number.isNaN(top1.own[i])) return `, top-1 ${top1.text(top1.own[i])}`;
    return Number.isNaN(top1.total[i]) ? "" : `, top-1 ${top1.text(top1.total[i])} with those below`;
  };
  addDetail((i) => {
    const judged = judgedWithin(i),
      wrong = judged.filter(({ guess, index }) => guess !== index).slice(0, MAX_JUDGED);
    const right = judged.filter(({ guess, index }) => guess === index).slice(0, MAX_JUDGED),
      all = [...wrong, ...right];
    const taken = confusion(
        "Taken for",
        pairs.filter(([truth]) => truth === i),
        1,
      ),
      takes = confusion(
        "What is taken for it",
        pairs.filter(([, guess]) => guess === i),
        0,
      );
    if (!taken && !takes && !all.length) return null;
    const strips = all.length ? [strip("Wrong", wrong, all), strip("Right", right, all)] : [];
    return element(
      "section",
      { class: "model" },
      element("h3", {}, `What ${title} says`, span("hint", scoreOf(i))),
      element("div", { class: "beside" }, ...strips),
      ...[taken, takes].filter(Boolean),
    );
  });
});
