// The plots: levels, images per class, val images, rejects. One that would say nothing is left out.
const makePlots = ({ model, measures, measureOf, hrefOf }) => {
  const { size, levels, names, depth } = model,
    { active, weights, val, census } = data,
    dropped = census?.dropped ?? { files: [] };
  const images = measureOf("images"),
    files = measureOf("files");
  const LISTED = { view: "", at: -1, flat: true };
  const limitsOf = ({ from, to }) => ({ from: `${from}`, to: Number.isFinite(to) ? `${to}` : "" });

  const noteOfLevels = `The level of a class is the number of its ancestors.${
    active.every(Boolean) ? "" : " Gray: a level of one class, where there is nothing to tell apart."
  }`;
  const weightOf = (level) => (active[level] ? +weights[level].toFixed(4) : "none");
  const byLevel = (title, values, unit) => {
    const sums = new Float64Array(depth + 1);
    for (let i = 0; i < size; i++) sums[levels[i]] += values[i];
    return barChart({
      title,
      unit: "level",
      note: noteOfLevels,
      bars: [...sums].map((value, level) => ({
        value,
        label: `${level}`,
        tone: active[level] ? 0 : 2,
        href: hrefOf({ view: "", at: -1, levels: `${level}`, flat: true }),
        title: `Level ${level}: ${number.format(value)} ${unit}, weight ${weightOf(level)}`,
      })),
    });
  };

  // Bins with whole numbers as edges: of one width where the values are near each other, else growing by a factor.
  const binsOf = (values, more = []) => {
    const low = values.reduce((a, b) => Math.min(a, b)),
      most = values.reduce((a, b) => Math.max(a, b)),
      edges = new Set(more);
    const width = Math.ceil((most - low + 1) / 30),
      factor = Math.max(1.02, (most / Math.max(1, low)) ** (1 / 36));
    const next =
      most > 4 * Math.max(1, low) && most > 60
        ? (edge) => Math.max(edge + 1, Math.round(edge * factor))
        : (edge) => edge + width;
    for (let edge = Math.max(1, low); edge <= most; edge = next(edge)) edges.add(edge);
    const sorted = [...edges].sort((a, b) => a - b);
    return sorted.map((from, at) => ({ from, to: at + 1 < sorted.length ? sorted[at + 1] - 1 : Infinity }));
  };
  const rangeText = ({ from, to }, most) =>
    from >= Math.min(to, most) ? number.format(from) : `${number.format(from)} to ${number.format(Math.min(to, most))}`;
  const countIn = (values, bins) => {
    const counts = new Array(bins.length).fill(0);
    for (const value of values) {
      let at = bins.length - 1;
      while (at > 0 && value < bins[at].from) at -= 1;
      counts[at] += 1;
    }
    return counts;
  };
  // Bars that differ by far are drawn by their logarithms, which is said.
  const isSteep = (bars) => {
    const filled = bars.flatMap(({ value, parts }) => (parts ?? [{ value }]).map((part) => part.value)).filter(Boolean);
    return filled.length > 1 && Math.max(...filled) > 100 * Math.min(...filled);
  };
  const histogram = (wanted) => {
    const log = isSteep(wanted.bars);
    return barChart({ ...wanted, log, note: [wanted.note, log ? "On a logarithmic scale." : ""].join(" ").trim() });
  };
  const perClass = (title, measure, values, note) => {
    const bins = binsOf(values),
      counts = countIn(values, bins),
      most = values.reduce((a, b) => Math.max(a, b), 0);
    return histogram({
      title,
      note,
      unit: `${measure.name} of a class`,
      bars: bins.map((bin, at) => ({
        value: counts[at],
        label: short(bin.from),
        title: `${plural(counts[at], "class", "classes")} with ${rangeText(bin, most)} ${measure.name}`,
        href: counts[at]
          ? hrefOf({
              view: "",
              at: -1,
              flat: true,
              sort: measure.id === "images" ? "images" : "",
              by: measure.id,
              from: `${bin.from}`,
              to: Number.isFinite(bin.to) ? `${bin.to}` : "",
            })
          : null,
      })),
    });
  };
  const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
  const isVaried = (values) => values.some((value) => value !== values[0]);

  const beforeFilter = () => {
    const lost = number.format(dropped.files.length);
    const kept = census.kept.filter((files) => files >= 0),
      every = [...kept, ...dropped.files];
    const bins = binsOf(every, census.min > 0 ? [census.min] : []);
    const [stay, go] = [countIn(kept, bins), countIn(dropped.files, bins)];
    const at = bins.findIndex(({ from }) => from === census.min);
    const most = every.reduce((a, b) => Math.max(a, b));
    return histogram({
      title: "Files per class in the dump",
      unit: "files of a class",
      mark: at > 0 ? { at, text: `minimum ${number.format(census.min)}` } : null,
      note: `${plural(kept.length, "class", "classes")} kept, ${lost} dropped (orange).`,
      bars: bins.map((bin, each) => ({
        value: stay[each] + go[each],
        parts: [
          { value: stay[each], tone: 0 },
          { value: go[each], tone: 1 },
        ],
        label: short(bin.from),
        href: stay[each] && files ? hrefOf({ ...LISTED, by: files.id, sort: files.id, ...limitsOf(bin) }) : null,
        title: `${rangeText(bin, most)} files: ${number.format(stay[each])} kept, ${number.format(go[each])} dropped`,
      })),
    });
  };
  const nearlyKept = () =>
    barChart({
      title: "Dropped classes with the most files",
      horizontal: true,
      note: "They are not in this tree; the search says of each why.",
      bars: dropped.files.slice(0, 15).map((value, at) => {
        const label = dropped.names[at] || dropped.wnids[at];
        const title = `${label} (${dropped.wnids[at]}): ${plural(value, "file", "files")}, ${dropped.reasons[at]}`;
        return { value, label, title, tone: 2, shown: number.format(value) };
      }),
    });
  const within = (classes) => (classes.length ? ` in ${plural(classes.length, "class", "classes")}` : "");
  const rejects = () =>
    barChart({
      title: "Rejected files, by reason",
      horizontal: true,
      log: true,
      note: "On a logarithmic scale. A bar leads to the classes.",
      bars: [...census.rejects]
        .sort((a, b) => b[2] - a[2])
        .map(([stage, reason, count, classes]) => {
          const measure = measures.find(({ name, reason: is }) => is && name === `${reason} (${stage})`);
          return {
            value: count,
            label: `${reason} (${stage})`,
            shown: number.format(count),
            tone: 1,
            title: `${reason}: ${plural(count, "file", "files")}${within(classes)}`,
            href: measure ? hrefOf({ view: "", at: -1, flat: true, has: measure.id, sort: measure.id }) : null,
          };
        }),
    });
  const worst = (measure) => {
    const order = [...measure.own.keys()]
      .filter((i) => measure.own[i] > 0)
      .sort((a, b) => measure.own[b] - measure.own[a])
      .slice(0, 15);
    return barChart({
      title: `Classes with the largest ${measure.name}`,
      horizontal: true,
      bars: order.map((i) => ({
        value: measure.own[i],
        label: names[i],
        shown: measure.text(measure.own[i]),
        tone: 1,
        title: `${names[i]}: ${measure.text(measure.own[i])}`,
        href: hrefOf({ view: "", at: i }),
      })),
    });
  };
  const draw = () => {
    const drawn = [];
    if (depth > 0) {
      drawn.push(byLevel("Classes per level", new Float64Array(size).fill(1), "classes"));
      if (images) drawn.push(byLevel("Images per level", images.own, "images"));
    }
    if (dropped.files.length && isVaried([...census.kept, ...dropped.files])) drawn.push(beforeFilter());
    if (dropped.files.length > 1) drawn.push(nearlyKept());
    const filled = images ? [...images.own].filter((value) => value > 0) : [];
    if (filled.length > 1 && isVaried(filled)) {
      drawn.push(
        perClass("Images per class", images, filled, `Train and val; the median is ${number.format(median(filled))}.`),
      );
    }
    const held = images ? val.filter((_, i) => images.own[i] > 0) : [];
    if (held.length > 1 && isVaried(held))
      drawn.push(
        perClass(
          "Val images per class",
          measureOf("val"),
          held.filter((value) => value > 0),
          "",
        ),
      );
    if (census?.rejects.length) drawn.push(rejects());
    const share = measures.find(({ name, id }) => name === "rejected share" && id);
    if (share && [...share.own].filter((value) => value > 0).length > 1) drawn.push(worst(share));
    return drawn;
  };
  return { draw };
};
