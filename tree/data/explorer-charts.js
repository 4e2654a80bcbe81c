// Bars as SVG in the page's colors. A bar is a link where there are classes to go to.
const ROW = 26,
  TALL = 190,
  WIDEST = 96;

const makeFigure = (title, note, draw) => {
  const body = element("div", { class: "plot" });
  const save = button(
    "Save as SVG",
    () =>
      download(
        fileName(`-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`),
        "image/svg+xml",
        standalone(body.firstElementChild),
      ),
    { class: "save" },
  );
  const figure = element(
    "figure",
    {},
    element("figcaption", {}, element("h3", {}, title), note ? element("p", { class: "hint" }, note) : null, save),
    body,
  );
  let width = 0;
  const watcher = new ResizeObserver(() => {
    if (!body.clientWidth || body.clientWidth === width) return;
    width = body.clientWidth;
    body.replaceChildren(draw(width));
  });
  watcher.observe(body);
  return figure;
};

// The picture by itself, with its colors written into it.
const standalone = (drawn) => {
  const copy = drawn.cloneNode(true),
    kept = ["fill", "stroke", "stroke-dasharray", "font-size", "font-family", "text-anchor"];
  const from = drawn.querySelectorAll("*"),
    to = copy.querySelectorAll("*");
  from.forEach((node, at) => {
    const style = getComputedStyle(node);
    for (const name of kept) to[at].setAttribute(name, style.getPropertyValue(name));
    to[at].removeAttribute("href");
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.prepend(svg("rect", { width: "100%", height: "100%", fill: color("--panel") }));
  return new XMLSerializer().serializeToString(copy);
};

const link = (bar, ...content) => {
  const attributes = { class: "bar", "aria-label": bar.title };
  return bar.href
    ? svg("a", { ...attributes, href: bar.href }, ...content)
    : svg("g", { ...attributes, role: "img" }, ...content);
};
const hover = (text) => svg("title", {}, text);

// The parts of a bar are stacked: [{value, tone}], with the classes "tone-0", "tone-1".
const partsOf = (bar) => bar.parts ?? [{ value: bar.value, tone: bar.tone ?? 0 }];

const barChart = ({ title, note, bars, unit = "", log = false, horizontal = false, mark = null }) =>
  makeFigure(title, note, (width) => (horizontal ? lyingBars : standingBars)({ title, bars, unit, log, width, mark }));

const bend = (log) => (log ? (value) => Math.log10(1 + value) : (value) => value);

const standingBars = ({ title, bars, unit, log, width, mark }) => {
  const left = 46,
    bottom = 38,
    top = 20,
    wide = width - left - 8,
    pitch = wide / bars.length;
  const most = Math.max(1, ...bars.map((bar) => bar.value)),
    scale = (value) => (bend(log)(value) / bend(log)(most)) * TALL;
  const base = top + TALL,
    drawn = svg("svg", {
      width,
      height: base + bottom,
      viewBox: `0 0 ${width} ${base + bottom}`,
      role: "group",
      "aria-label": title,
    });
  for (const tick of ticks(most, log)) {
    const y = base - scale(tick);
    drawn.append(
      svg("line", { class: "grid", x1: left, x2: width - 8, y1: y, y2: y }),
      svg("text", { class: "tick end", x: left - 6, y: y + 4 }, short(tick)),
    );
  }
  const every = Math.ceil(44 / pitch),
    hasNumbers = pitch >= 34;
  bars.forEach((bar, at) => {
    const x = left + at * pitch,
      thick = Math.min(WIDEST, Math.max(1, pitch * (bars.length > 24 ? 0.92 : 0.72))),
      from = x + (pitch - thick) / 2;
    const shapes = [hover(bar.title), svg("rect", { class: "reach", x, y: top, width: pitch, height: TALL })];
    let sum = 0;
    for (const { value, tone } of partsOf(bar)) {
      const low = scale(sum),
        high = scale(sum + value);
      sum += value;
      if (value > 0)
        shapes.push(
          svg("rect", {
            class: `mark tone-${tone}`,
            x: from,
            y: base - Math.max(high, 1),
            width: thick,
            height: Math.max(1, high - low),
          }),
        );
    }
    if (hasNumbers && bar.value > 0)
      shapes.push(
        svg("text", { class: "value middle", x: x + pitch / 2, y: base - scale(bar.value) - 5 }, short(bar.value)),
      );
    drawn.append(link(bar, ...shapes));
    if (at % every === 0)
      drawn.append(svg("text", { class: "tick middle", x: x + pitch / 2, y: base + 16 }, bar.label));
  });
  if (mark) {
    const x = left + mark.at * pitch;
    drawn.append(
      svg("line", { class: "limit", x1: x, x2: x, y1: top, y2: base }),
      svg(
        "text",
        {
          class: `limit-text tick${mark.at > bars.length / 2 ? " end" : ""}`,
          x: x + (mark.at > bars.length / 2 ? -5 : 5),
          y: top + 10,
        },
        mark.text,
      ),
    );
  }
  drawn.append(
    svg("line", { class: "axis", x1: left, x2: width - 8, y1: base, y2: base }),
    svg("text", { class: "tick middle", x: left + wide / 2, y: base + 34 }, unit),
  );
  return drawn;
};

const lyingBars = ({ title, bars, log, width }) => {
  const isNarrow = width < 520,
    left = isNarrow ? 4 : Math.min(300, width * 0.36),
    pitch = isNarrow ? ROW * 1.7 : ROW,
    wide = width - left - 74;
  const most = Math.max(...bars.map((bar) => bar.value), 1e-9),
    scale = (value) => (bend(log)(value) / bend(log)(most)) * wide;
  const high = bars.length * pitch + 6,
    drawn = svg("svg", { width, height: high, viewBox: `0 0 ${width} ${high}`, role: "group", "aria-label": title });
  bars.forEach((bar, at) => {
    const y = at * pitch + (isNarrow ? 18 : 3),
      long = Math.max(2, scale(bar.value));
    const room = Math.floor((isNarrow ? width - 8 : left - 8) / 7),
      text = bar.label.length > room ? `${bar.label.slice(0, room - 1)}…` : bar.label;
    drawn.append(
      link(
        bar,
        hover(bar.title),
        svg("rect", { class: "reach", x: 0, y: at * pitch, width, height: pitch }),
        svg(
          "text",
          { class: isNarrow ? "name" : "name end", x: isNarrow ? left : left - 8, y: isNarrow ? y - 4 : y + 14 },
          text,
        ),
        svg("rect", { class: `mark tone-${bar.tone ?? 0}`, x: left, y, width: long, height: ROW - 8 }),
        svg("text", { class: "value", x: left + long + 6, y: y + 14 }, bar.shown ?? short(bar.value)),
      ),
    );
  });
  return drawn;
};

const ticks = (most, log) => {
  if (log) return Array.from({ length: Math.floor(Math.log10(most)) + 1 }, (_, at) => 10 ** at);
  const rough = most / 4,
    power = 10 ** Math.floor(Math.log10(rough)),
    step = Math.max(1, [1, 2, 5, 10].find((each) => each * power >= rough) * power);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step);
};
