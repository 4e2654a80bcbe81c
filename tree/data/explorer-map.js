// The map: a treemap of what lies below a class, or of everything. A tile is a link to its class, so that the map zooms
// with the address; what lies deeper is drawn behind the links, on a canvas.
const FEW = 12; // more childless roots than these are one tile
const MOST_TILES = 600;

const makeMap = ({ model, measures, measureOf, pictureOf, hrefOf, go }) => {
  const tiles = element("div", { class: "tiles", role: "group" });
  const canvas = element("canvas", { "aria-hidden": "true" }),
    tip = element("div", { class: "tip", hidden: true });
  const stage = element("div", { class: "stage" }, canvas, tiles, tip);
  const area = element("select", { "aria-label": "Area of the map" }),
    tint = element("select", { "aria-label": "Color of the map" });
  const legend = element("span", { class: "legend", role: "img" });
  const root = element(
    "div",
    { class: "map" },
    element(
      "div",
      { class: "map-tools" },
      element("label", {}, span("label", "Area"), area),
      element("label", {}, span("label", "Color"), tint),
      legend,
    ),
    stage,
  );
  for (const { id, name, kind } of measures.filter((each) => each.kind === "count" && !each.hidden))
    area.append(option(id, name));
  for (const { id, name, kind, hidden } of measures) {
    if (!hidden && id !== "classes") tint.append(option(id, kind === "count" ? `${name} per class` : name));
  }
  let wanted = { ...DEFAULTS },
    found = null,
    boxes = [],
    sums = null,
    from = null;
  const painter = makePainter({ canvas, model, pictureOf });

  const areaId = () => measureOf(wanted.area)?.id ?? (measureOf("images") ? "images" : "classes");
  const tintId = () =>
    measureOf(wanted.color)?.id ??
    (data.overlay?.measures.length ? firstOf(measures).id : model.depth || !measureOf("images") ? "level" : "images");
  const areas = () => measureOf(areaId()).of(found);
  const ownArea = (i) => (found && !found.matches[i] ? 0 : measureOf(areaId()).own[i] || 0);

  // The tiles of a class: its children by area, at the top level with the childless roots as one, and the class itself.
  const partsOf = (i) => {
    const parts = [],
      lonely = i < 0 ? model.lonely.filter((at) => sums[at] > 0) : [];
    let few = i < 0 ? model.roots.filter((at) => sums[at] > 0) : model.children[i];
    if (lonely.length > FEW && few.length > lonely.length) {
      few = few.filter((at) => model.children[at].length);
      parts.push({ lonely: lonely.length, at: -1, area: lonely.reduce((sum, at) => sum + sums[at], 0) });
    }
    for (const at of few) parts.push({ at, area: sums[at] });
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
    const focused = tiles.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    const parts = cutOff(partsOf(state.at));
    const areasOfParts = parts.map((part) => part.area);
    const placed = squarify(areasOfParts, { x: 0, y: 0, w: stage.clientWidth, h: stage.clientHeight });
    paint(parts, placed, scale);
    hideTip();
    tiles.replaceChildren(...parts.map((part, at) => drawTile(part, placed[at], inkOn(shadeOf(part, scale)))));
    const name = state.at < 0 ? "all classes" : model.briefly(state.at);
    const count = plural(parts.length, "tile", "tiles");
    tiles.setAttribute("aria-label", `Map of ${name}: ${count}; arrow keys move, Enter opens, Backspace goes up`);
    const first = tiles.querySelector("a");
    if (first) first.tabIndex = 0;
    if (focused !== null) {
      const again = state.at === before ? focused : before;
      (tiles.querySelector(`a[data-at="${again}"]`) ?? first)?.focus();
    }
    zoom(before, state.at);
  };
  const cutOff = (all) => {
    const [parts, rest] = [all.slice(0, MOST_TILES), all.slice(MOST_TILES)];
    if (rest.length) parts.push({ rest: rest.length, at: -1, area: rest.reduce((sum, part) => sum + part.area, 0) });
    for (const part of parts) part.hasInside = part.at >= 0 && !part.self && model.children[part.at].length > 0;
    return parts;
  };
  const shadeOf = (part, scale) => {
    const measure = measureOf(tintId());
    return scale.of(part.at < 0 ? NaN : (part.self ? measure.own : measure.tintOf(found))[part.at]);
  };
  const paint = (parts, placed, scale) => {
    boxes = [];
    const noted = (part, box) => boxes.push({ ...box, part });
    const shades = parts.map((part) => shadeOf(part, scale));
    const { clientWidth: w, clientHeight: h } = stage;
    const { own, tintOf } = measureOf(tintId());
    painter.paint({ w, h, parts, placed, shades, scale, own, tint: tintOf(found), partsOf, noted });
  };
  const drawLegend = ({ low, high, gradient, none }) => {
    const { kind, id, name } = measureOf(tintId());
    const bar = span("gradient", ""),
      gray = span("gradient none", "");
    bar.style.background = gradient;
    gray.style.background = none;
    const ends = [id === "level" ? `level ${low}` : low, kind === "count" ? `${high} ${name} per class` : high];
    legend.replaceChildren(span("", ends[0]), bar, span("", ends[1]), ...(none ? [gray, span("", "no value")] : []));
    legend.setAttribute("aria-label", `The colors say ${name}, from ${ends.join(" to ")}`);
  };

  // A child's tile grows to the whole map.
  const zoom = (before, now) => {
    const isDown = from && now >= 0 && model.parents[now] === before && from.at === now;
    if (isDown && !isStill()) {
      const { x, y, w, h } = from.box,
        scale = `scale(${w / stage.clientWidth}, ${h / stage.clientHeight})`;
      for (const layer of [canvas, tiles]) {
        layer.animate(
          [
            { transform: `translate(${x}px, ${y}px) ${scale}`, opacity: 0.4 },
            { transform: "none", opacity: 1 },
          ],
          { duration: 220, easing: "ease-out" },
        );
      }
    }
    from = null;
  };

  const labelOf = (part) => {
    if (part.lonely) return `${number.format(part.lonely)} classes without parent or children`;
    if (part.rest) return `${number.format(part.rest)} more`;
    return part.self ? `${model.briefly(part.at)} itself` : model.briefly(part.at);
  };
  const saidOf = (part) => {
    const by = measureOf(areaId()),
      shade = measureOf(tintId());
    const whole = part.at >= 0 && found ? ` of ${by.text((part.self ? by.own : by.total)[part.at])}` : "";
    const said = [labelOf(part), `${by.text(part.area)}${whole} ${by.name}`];
    if (part.at >= 0 && !part.self && model.below[part.at] && by.id !== "classes") {
      said.push(plural(model.below[part.at] + 1, "class", "classes"));
    }
    if (part.at >= 0 && shade.id !== by.id)
      said.push(`${shade.name} ${shade.text((part.self ? shade.own : shade.of(found))[part.at])}`);
    return said.join(", ");
  };
  const linkOf = (part) => {
    if (part.lonely) return hrefOf({ kind: "lonely", flat: true });
    if (part.rest) return hrefOf({ flat: true });
    return hrefOf({ at: part.at });
  };
  const drawTile = (part, box, ink) => {
    const { hasInside } = part;
    const isLarge = part.at >= 0 && !hasInside && box.w > 26 && box.h > 26;
    const picture = isLarge ? pictureOf(part.at) : null;
    const tile = element(part.self ? "div" : "a", {
      class: hasInside ? "tile inner" : "tile",
      href: part.self ? null : linkOf(part),
      tabindex: part.self ? null : "-1",
      "aria-label": part.self ? null : saidOf(part),
      "data-at": part.at,
    });
    if (picture) tile.append(element("img", { src: picture, alt: "", loading: "lazy" }));
    const text = part.lonely && box.w < 120 ? `${part.lonely} …` : labelOf(part);
    if (box.w > (picture ? 54 : 34) && box.h > (picture ? 40 : 16)) tile.append(tileName(text, picture, box));
    tile.style.color = ink;
    place(tile, box);
    tile.addEventListener("click", (event) => {
      if (isTouch && !tile.textContent && tipped !== part) {
        event.preventDefault(); // the first tap says what a tile without a name is, the second one opens it
        showTip(part, box.x + box.w / 2, box.y + box.h / 2);
      } else from = { at: part.at, box };
    });
    tile.addEventListener("focus", () => {
      if (tile.matches(":focus-visible")) showTip(part, box.x + box.w / 2, box.y + box.h - 16);
    });
    tile.addEventListener("blur", hideTip);
    return tile;
  };
  const tileName = (text, picture, box) => {
    const isLine = picture || box.w < 76 || box.h < 34;
    const made = span(`tile-name${picture ? " on-picture" : ""}${isLine ? " line" : ""}`, text);
    made.style.webkitLineClamp = Math.max(1, Math.floor((box.h - 8) / 13));
    return made;
  };
  const place = (tile, { x, y, w, h }) => {
    Object.assign(tile.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
  };

  // What a tile is, beside the pointer or below the tile that has the focus.
  let tipped = null,
    isTouch = false;
  const hideTip = () => {
    tip.hidden = true;
    tipped = null;
  };
  const showTip = (part, x, y) => {
    const { clientWidth: w, clientHeight: h } = stage;
    tip.hidden = false;
    tipped = part;
    tip.textContent = saidOf(part);
    tip.style.left = `${Math.max(0, Math.min(x + 14, w - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, y + 22 + tip.offsetHeight > h ? y - tip.offsetHeight - 8 : y + 18)}px`;
  };
  stage.addEventListener("pointerdown", ({ pointerType }) => {
    isTouch = pointerType === "touch";
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const edge = stage.getBoundingClientRect(),
      x = event.clientX - edge.x,
      y = event.clientY - edge.y;
    const under = boxes.findLast((box) => x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h);
    if (under) showTip(under.part, x, y);
    else hideTip();
  });
  stage.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch") hideTip();
  });
  const nearest = (tile, [right, down]) => {
    const middle = (each) => [each.offsetLeft + each.offsetWidth / 2, each.offsetTop + each.offsetHeight / 2];
    const [x, y] = middle(tile);
    let best = null,
      least = Infinity;
    for (const other of tiles.querySelectorAll("a")) {
      const [dx, dy] = middle(other).map((value, at) => value - [x, y][at]);
      const along = dx * right + dy * down,
        aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (other !== tile && along > 1 && along + 2 * aside < least) {
        best = other;
        least = along + 2 * aside;
      }
    }
    return best;
  };
  const arrows = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  tiles.addEventListener("keydown", (event) => {
    isTouch = false;
    if (event.key in arrows) {
      const to = nearest(event.target, arrows[event.key]);
      if (to) {
        event.target.tabIndex = -1;
        to.tabIndex = 0;
        to.focus();
      }
    } else if ((event.key === "Backspace" || event.key === "Escape") && wanted.at >= 0)
      go({ at: model.parents[wanted.at] });
    else return;
    event.preventDefault();
  });
  area.addEventListener("change", () => go({ area: area.value }, { replace: true }));
  tint.addEventListener("change", () => go({ color: tint.value }, { replace: true }));
  let size = "";
  new ResizeObserver(() => {
    const now = `${stage.clientWidth} ${stage.clientHeight}`;
    if (stage.clientWidth && now !== size) {
      size = now;
      draw(wanted, found);
    }
  }).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(wanted, found));
  return { root, draw, isZooming: () => from !== null };
};
