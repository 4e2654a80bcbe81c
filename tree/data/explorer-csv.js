// What is shown, as CSV. A text that a spreadsheet would run as a formula gets an apostrophe.
const csvCell = (value) => {
  let text = `${value}`;
  if (typeof value === "string" && /^[\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = (rows, model, measures) => {
  const { names, wnids, parents, levels, below, leaves } = model;
  const shown = measures.filter(({ id, hidden }) => !hidden && !["classes", "level", "images"].includes(id));
  const hasImages = measures.some(({ id }) => id === "images");
  const images = measures.find(({ id }) => id === "images");
  const head = ["class_index", "wnid", "name", "gloss", "parent_wnid", "path_names", "level", "descendants", "leaves"];
  if (hasImages) head.push("images_train", "images_val", "images_subtree");
  head.push(...shown.map(({ name }) => name.replace(/[^A-Za-z0-9]+/g, "_").toLowerCase()));
  const blank = (value) => (Number.isNaN(value) ? "" : value);
  const lines = rows.map((i) => {
    const cells = [
      i,
      wnids[i],
      names[i],
      model.glossOf(i),
      parents[i] < 0 ? "" : wnids[parents[i]],
      model.pathText(i),
      levels[i],
      below[i],
      leaves[i],
    ];
    if (hasImages) cells.push(data.train[i], data.val[i], images.total[i]);
    cells.push(...shown.map(({ own }) => blank(own[i])));
    return cells.map(csvCell).join(",");
  });
  return `${[head.map(csvCell).join(","), ...lines].join("\r\n")}\r\n`;
};
