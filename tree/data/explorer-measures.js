// Measures: a value per class, and what a subtree has, by which the page colors, sorts, filters and exports.
const TEXTS = { count: (value) => number.format(value), share: percent, number: (value) => short(value) };

const makeMeasures = (data, model) => {
  const { size, sums, levels, below } = model;
  const known = [];
  const add = (id, name, kind, own, more = {}) => {
    const weights = more.weights ?? new Float64Array(size).fill(1);
    // What subtrees have, of all classes or of those that match a filter, and what colors them on the map: the mean of
    // their classes where the measure counts something. Nothing is summed before it is asked for.
    const totals = (matches) => {
      if (more.isOfClass) return own;
      const some = own.map((value, i) => (matches && !matches[i] ? NaN : value));
      if (kind === "count") return sums(some);
      const whole = sums(some.map((value, i) => value * weights[i])),
        by = sums(some.map((value, i) => (Number.isNaN(value) ? NaN : weights[i])));
      return whole.map((value, i) => (by[i] ? value / by[i] : NaN));
    };
    const over = (found) => {
      const total = totals(found?.matches),
        classes = found && kind === "count" ? sums(found.matches) : below.map((count) => count + 1);
      return { found, total, tint: kind === "count" ? total.map((value, i) => value / classes[i]) : total };
    };
    let all = null,
      left = null;
    const under = (found) => {
      if (!found) return (all ??= over(null));
      if (left?.found !== found) left = over(found);
      return left;
    };
    const sumOf = (values) => values.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0);
    const measure = {
      id,
      name,
      kind,
      own,
      help: "",
      better: "neither",
      hidden: false,
      ...more,
      of: (found) => under(found).total,
      tintOf: (found) => under(found).tint,
      text: (value) => (Number.isNaN(value) || value === undefined ? "–" : TEXTS[kind](value)),
      get total() {
        return under(null).total;
      },
      get tint() {
        return under(null).tint;
      },
      // Of all classes: counts their sum, others their mean.
      get whole() {
        if (kind === "count") return sumOf(own);
        const by = sumOf(own.map((value, i) => (Number.isNaN(value) ? 0 : weights[i])));
        return sumOf(own.map((value, i) => value * weights[i])) / by;
      },
    };
    if (kind === "count" && measure.better === "low" && !measure.reason) measure.flag ??= `has ${name}`;
    known.push(measure);
    return measure;
  };
  const images = Float64Array.from(data.train, (count, i) => count + data.val[i]);
  if (images.some((count) => count > 0)) {
    add("images", "images", "count", images, { help: "train and val" });
    add("val", "val images", "count", Float64Array.from(data.val), { hidden: true });
  }
  add("classes", "classes", "count", new Float64Array(size).fill(1), { help: "the class and those below it" });
  add("level", "level", "number", Float64Array.from(levels), { help: "the number of its ancestors", isOfClass: true });
  const slugs = new Set(known.map(({ id }) => id));
  const slug = (name) => {
    let id =
      name
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "") || "measure";
    while (slugs.has(id)) id += "-";
    slugs.add(id);
    return id;
  };
  const column = (values) => {
    const made = new Float64Array(size);
    for (let i = 0; i < size; i++) made[i] = values[i] ?? NaN;
    return made;
  };
  for (const { name, kind, help, better, values, weights } of data.measures) {
    const more = { help, better };
    if (weights) more.weights = column(weights).map((value) => value || 0);
    add(slug(name), name, kind, column(values), more);
  }
  if (data.census?.kept.some((files) => files >= 0)) {
    const files = Float64Array.from(data.census.kept, (count) => (count < 0 ? NaN : count));
    add("files", "files in the dump", "count", files, { hidden: true });
  }
  addRejects(data.census, images, (name, kind, own, more) => add(slug(name), name, kind, own, more));
  return known;
};

// The measure that the page opens with: what a model does, else images, else classes.
const firstOf = (measures) => {
  const named = [data.overlay?.measures[0], "images", "classes"];
  return named.map((name) => measures.find((measure) => measure.name === name)).find(Boolean);
};

// Sorts by values, upward (1) or downward (-1); classes without one come last, equal ones by name.
const inOrder =
  ({ byName }, values, sign) =>
  (a, b) => {
    const missing = Number.isNaN(values[a]) - Number.isNaN(values[b]);
    return missing || (Number.isNaN(values[a]) ? 0 : sign * (values[a] - values[b])) || byName(a, b);
  };

// What a dump's rejects say of each class: all of them, those by reason, and their share.
const addRejects = (census, images, add) => {
  const reasons = (census?.rejects ?? []).filter(([, , , classes]) => classes.length);
  if (!reasons.length) return;
  const columnOf = (some) => {
    const own = new Float64Array(images.length);
    for (const [, , , classes] of some) for (const [i, count] of classes) own[i] += count;
    return own;
  };
  const every = columnOf(reasons),
    twins = reasons.filter(([, reason]) => reason.startsWith("duplicate"));
  add("rejected", "count", every, {
    better: "low",
    help: "files of the class that were left out",
    flag: "has rejects",
  });
  const files = every.map((count, i) => count + images[i]);
  const share = every.map((count, i) => (files[i] ? count / files[i] : NaN));
  add("rejected share", "share", share, { better: "low", weights: files, help: "rejected, of its files" });
  if (twins.length) {
    add("duplicates", "count", columnOf(twins), {
      better: "low",
      help: "files left out because a twin stays",
      flag: "has duplicates",
    });
  }
  for (const row of reasons) {
    const name = `${row[1]} (${row[0]})`;
    add(name, "count", columnOf([row]), {
      better: "low",
      help: "rejected for this reason",
      hidden: true,
      reason: true,
    });
  }
};
