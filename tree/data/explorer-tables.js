// Tables that show their first rows, and a button for the others.
const MAX_ROWS = 20;

const tableOf = (heads, rows) =>
  element(
    "table",
    { class: "rates" },
    element(
      "thead",
      {},
      element("tr", {}, ...heads.map(([text, kind]) => element("th", { scope: "col", class: kind }, text))),
    ),
    element(
      "tbody",
      {},
      ...rows.map((cells) =>
        element("tr", {}, ...cells.map((cell, at) => element("td", { class: heads[at][1] }, cell))),
      ),
    ),
  );

// The guess that a class is most often taken for, with its images, by class; the pairs come with the frequent first.
let taken = null;
const mostTaken = () => {
  if (!taken) {
    taken = new Map();
    for (const [truth, guess, images] of data.overlay.pairs) if (!taken.has(truth)) taken.set(truth, [guess, images]);
  }
  return taken;
};

// The figure of one: each row is made when it is shown.
const growing = (title, note, heads, rows) => {
  const body = element("div", { class: "table" }),
    figure = element(
      "figure",
      {},
      element("figcaption", {}, element("h3", {}, title), element("p", { class: "hint" }, note)),
      body,
    );
  const draw = (most) => {
    body.replaceChildren(
      tableOf(
        heads,
        rows.slice(0, most).map((row) => row()),
      ),
    );
    if (rows.length > most)
      body.append(button(`Show ${number.format(rows.length - most)} more`, () => draw(rows.length), { class: "link" }));
  };
  draw(MAX_ROWS);
  return figure;
};
