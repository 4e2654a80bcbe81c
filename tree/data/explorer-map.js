// The map: a treemap of what lies below a class, or of everything. A tile is a link to its class, so that the map zooms
// with the address; what lies deeper is drawn behind the links, on a canvas.
const HEADER = 20, DEEP = 44, TALL_ENOUGH = 54, FEW = 12, MOST_TILES = 240;

const makeMap = ({ model, measures, measureOf, pictureOf, hrefOf, go }) => {
  const tiles = element("div", { class: "tiles", role: "group" });
  const canvas = element("canvas", { "aria-hidden": "true" }), tip = element("div", { class: "tip", hidden: true });
  const stage = element("div", { class: "stage" }, canvas, tiles, tip);
  const area = element("select", { "aria-label": "Area of the map" }), tint = element("select", { "aria-label": "Color of the map" });
  const legend = element("span", { class: "legend" });
  const root = element("div", { class: "map" }, element("div", { class: "map-tools" },
    element("label", {}, span("label", "Area"), area), element("label", {}, span("label", "Color"), tint), legend), stage);
  for (const { id, name, kind } of measures.filter((each) => each.kind === "count" && !each.hidden)) area.append(option(id, name));
  for (const { id, name, kind, hidden } of measures) {
    if (!hidden && id !== "classes") tint.append(option(id, kind === "count" ? `${name} per class` : name));
  }
  let wanted = { ...DEFAULTS }, found = null, boxes = [], sums = null, from = null, pending = 0;

  const areaId = () => measureOf(wanted.area)?.id ?? (measureOf("images") ? "images" : "classes");
  const ownTint = () => measures.find(({ name }) => name === data.overlay?.measures[0])?.id;
  const tintId = () => measureOf(wanted.color)?.id ?? ownTint() ?? (model.depth || !measureOf("images") ? "level" : "images");
  const areas = () => {
    const { own, total } = measureOf(areaId());
    return found ? model.sums(own.map((value, i) => (found.matches[i] ? value : 0))) : total;
  };
  const ownArea = (i) => (found && !found.matches[i] ? 0 : measureOf(areaId()).own[i] || 0);

  // The tiles of a class: its children by area, at the top level with the childless roots as one, and the class itself.
  const partsOf = (i) => {
    const parts = [], lonely = i < 0 ? model.lonely.filter((at) => sums[at] > 0) : [];
    let few = i < 0 ? model.roots.filter((at) => sums[at] > 0) : model.children[i];
    if (lonely.length > FEW && few.length > lonely.length) {
      few = few.filter((at) => model.children[at].length);
      parts.push({ lonely: lonely.length, at: -1, area: lonely.reduce((sum, at) => sum + sums[at], 0) });
    }
    parts.push(...few.map((at) => ({ at, area: sums[at] })));
    if (i >= 0 && ownArea(i) > 0) parts.push({ at: i, self: true, area: ownArea(i) });
    return parts.filter((part) => part.area > 0).sort((a, b) => b.area - a.area || a.at - b.at);
  };

  const draw = (state, filtered) => {
    const before = wanted.at;
    [wanted, found] = [state, filtered];
    if (!stage.clientWidth) return;
    sums = areas();
    area.value = areaId();
    tint.value = tintId();
    const scale = makeScale(measureOf(tintId()), state.at < 0 ? 0 : model.levels[state.at] + 1);
    drawLegend(scale);
    const hadFocus = tiles.contains(document.activeElement);
    const box = { x: 0, y: 0, w: stage.clientWidth, h: stage.clientHeight };
    const all = partsOf(state.at), parts = all.slice(0, MOST_TILES), rest = all.slice(MOST_TILES);
    if (rest.length) parts.push({ rest: rest.length, at: -1, area: rest.reduce((sum, part) => sum + part.area, 0) });
    const placed = squarify(parts.map((part) => part.area), box);
    boxes = [];
    const paint = startCanvas(box);
    tiles.replaceChildren(...parts.map((part, at) => drawTile(part, placed[at], scale, paint)));
    const name = state.at < 0 ? "all classes" : model.names[state.at];
    tiles.setAttribute("aria-label", `Map of ${name}: ${plural(parts.length, "tile", "tiles")}; arrow keys move, Enter opens, Backspace goes up`);
    if (tiles.firstElementChild) tiles.firstElementChild.tabIndex = 0;
    if (hadFocus) (tiles.querySelector(`[data-at="${before}"]`) ?? tiles.firstElementChild)?.focus();
    zoom(before, state.at);
  };
  const drawLegend = ({ low, high, gradient }) => {
    const bar = span("gradient", "");
    bar.style.background = gradient;
    legend.replaceChildren(span("", low), bar, span("", high));
  };

  // A child's tile grows to the whole map.
  const zoom = (before, now) => {
    const isDown = from && now >= 0 && model.parents[now] === before && from.at === now;
    if (isDown && !isStill()) {
      const { x, y, w, h } = from.box, scale = `scale(${w / stage.clientWidth}, ${h / stage.clientHeight})`;
      for (const layer of [canvas, tiles]) {
        layer.animate([{ transform: `translate(${x}px, ${y}px) ${scale}`, opacity: 0.4 }, { transform: "none", opacity: 1 }],
          { duration: 220, easing: "ease-out" });
      }
    }
    from = null;
  };

  const labelOf = (part) => {
    if (part.lonely) return `${number.format(part.lonely)} classes without parent or children`;
    if (part.rest) return `${number.format(part.rest)} smaller ones`;
    return part.self ? `${model.names[part.at]} itself` : model.names[part.at];
  };
  const saidOf = (part) => {
    const by = measureOf(areaId()), shade = measureOf(tintId());
    const said = [labelOf(part), `${by.text(part.area)} ${by.name}`];
    if (part.at >= 0 && !part.self && model.below[part.at] && by.id !== "classes") {
      said.push(plural(model.below[part.at] + 1, "class", "classes"));
    }
    if (part.at >= 0 && shade.id !== by.id) said.push(`${shade.name} ${shade.text((part.self ? shade.own : shade.total)[part.at])}`);
    return said.join(", ");
  };
  const linkOf = (part) => {
    if (part.lonely) return hrefOf({ kind: "lonely", flat: true });
    if (part.rest) return hrefOf({ flat: true });
    return hrefOf({ at: part.at });
  };
  const drawTile = (part, box, scale, paint) => {
    const measure = measureOf(tintId());
    const rgb = scale.of(part.at < 0 ? NaN : (part.self ? measure.own : measure.tint)[part.at]);
    const hasInside = part.at >= 0 && !part.self && model.children[part.at].length > 0;
    paint.fill(box, rgb);
    if (hasInside) paint.inside(part.at, box, scale, 1);
    const picture = !hasInside && part.at >= 0 && box.w > 44 && box.h > 44 ? pictureOf(part.at) : null;
    const tile = element(part.self ? "div" : "a", {
      class: hasInside ? "tile inner" : "tile", href: part.self ? null : linkOf(part), tabindex: part.self ? null : "-1",
      "aria-label": part.self ? null : saidOf(part), "data-at": part.at,
    });
    if (picture) tile.append(element("img", { src: picture, alt: "", loading: "lazy" }));
    const text = part.lonely && box.w < 120 ? `${part.lonely} …` : labelOf(part);
    if (box.w > 34 && box.h > 16) tile.append(span(picture ? "tile-name on-picture" : "tile-name", text));
    tile.style.color = inkOn(rgb);
    place(tile, box);
    if (part.at < 0 || !hasInside) boxes.push({ ...box, part });
    tile.addEventListener("click", () => { from = { at: part.at, box }; });
    return tile;
  };
  const place = (tile, { x, y, w, h }) => {
    Object.assign(tile.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
  };

  // A picture fills its place; one that is still being decoded comes with the next frame that has it.
  const decoded = new Map();
  const paintPicture = (pen, source, { x, y, w, h }) => {
    let image = decoded.get(source);
    if (!image) {
      image = new Image();
      image.addEventListener("load", () => { cancelAnimationFrame(pending); pending = requestAnimationFrame(() => draw(wanted, found)); });
      image.src = source;
      if (decoded.size > 600) decoded.clear();
      decoded.set(source, image);
    }
    if (!image.complete || !image.naturalWidth) return;
    const scale = Math.max(w / image.naturalWidth, h / image.naturalHeight), [sw, sh] = [w / scale, h / scale];
    pen.drawImage(image, (image.naturalWidth - sw) / 2, (image.naturalHeight - sh) / 2, sw, sh, x, y, w, h);
  };

  // The canvas behind the tiles: all that lies deeper and is large enough to be seen.
  const startCanvas = ({ w, h }) => {
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const fill = ({ x, y, w: wide, h: high }, rgb) => {
      pen.fillStyle = css(rgb);
      pen.fillRect(x + 0.5, y + 0.5, Math.max(0.5, wide - 1), Math.max(0.5, high - 1));
    };
    const name = (i, { x, y, w: wide }, rgb) => {
      pen.fillStyle = inkOn(rgb);
      pen.fillText(fitting(model.names[i], wide - 7, (text) => pen.measureText(text).width), x + 4, y + 9);
    };
    const picture = (i, { x, y, w: wide, h: high }) => {
      const source = pictureOf(i), top = high > TALL_ENOUGH ? 17 : 3;
      if (source) paintPicture(pen, source, { x: x + 3, y: y + top, w: wide - 6, h: high - top - 3 });
      return !!source;
    };
    const inside = (i, box, scale, depth) => {
      const top = depth === 1 ? (box.h > 40 ? HEADER : 2) : box.h > DEEP && box.w > 46 ? 16 : 2;
      const inner = { x: box.x + 2, y: box.y + top, w: box.w - 4, h: box.h - top - 2 };
      boxes.push({ ...box, part: { at: i, area: sums[i] } });
      if (inner.w < 5 || inner.h < 5) return;
      const parts = partsOf(i), placed = squarify(parts.map((part) => part.area), inner), { tint: shades, own } = measureOf(tintId());
      parts.forEach((part, at) => {
        const rect = placed[at];
        if (rect.w < 0.7 || rect.h < 0.7) return;
        const rgb = scale.of((part.self ? own : shades)[part.at]);
        fill(rect, rgb);
        if (!part.self && model.children[part.at].length) inside(part.at, rect, scale, depth + 1);
        else boxes.push({ ...rect, part });
        const hasInside = !part.self && model.children[part.at].length > 0;
        const isPictured = !hasInside && rect.w > 38 && rect.h > 38 && picture(part.at, rect);
        const isNamed = !part.self && rect.w > 46 && rect.h > (hasInside ? DEEP : isPictured ? TALL_ENOUGH : 17);
        if (isNamed) name(part.at, rect, rgb);
      });
    };
    return { fill, inside };
  };

  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const edge = stage.getBoundingClientRect(), x = event.clientX - edge.x, y = event.clientY - edge.y;
    const under = boxes.findLast((box) => x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h);
    tip.hidden = !under;
    if (!under) return;
    tip.textContent = saidOf(under.part);
    tip.style.left = `${Math.max(0, Math.min(x + 14, edge.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 22 + tip.offsetHeight > edge.height ? y - tip.offsetHeight - 8 : y + 18}px`;
  });
  stage.addEventListener("pointerleave", () => { tip.hidden = true; });
  const nearest = (tile, [right, down]) => {
    const middle = (each) => [each.offsetLeft + each.offsetWidth / 2, each.offsetTop + each.offsetHeight / 2];
    const [x, y] = middle(tile);
    let best = null, least = Infinity;
    for (const other of tiles.querySelectorAll("a")) {
      const [dx, dy] = middle(other).map((value, at) => value - [x, y][at]);
      const along = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (other !== tile && along > 1 && along + 2 * aside < least) { best = other; least = along + 2 * aside; }
    }
    return best;
  };
  const arrows = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  tiles.addEventListener("keydown", (event) => {
    if (event.key in arrows) {
      const to = nearest(event.target, arrows[event.key]);
      if (to) { event.target.tabIndex = -1; to.tabIndex = 0; to.focus(); }
    } else if ((event.key === "Backspace" || event.key === "Escape") && wanted.at >= 0) go({ at: model.parents[wanted.at] });
    else return;
    event.preventDefault();
  });
  area.addEventListener("change", () => go({ area: area.value }, { replace: true }));
  tint.addEventListener("change", () => go({ color: tint.value }, { replace: true }));
  let width = 0;
  new ResizeObserver(() => {
    if (stage.clientWidth && stage.clientWidth !== width) { width = stage.clientWidth; draw(wanted, found); }
  }).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(wanted, found));
  return { root, draw };
};
