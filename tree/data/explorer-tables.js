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
const mostTaken = (pairs) => {
  const most = new Map();
  for (const [truth, guess, images] of pairs) if (!most.has(truth)) most.set(truth, [guess, images]);
  return most;
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
