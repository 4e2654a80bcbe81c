// The canvas behind the map's tiles: all that lies deeper and is large enough to be seen, some of it with pictures.
const HEADER = 20;
const DEEP = 44; // from this height on, a rectangle with others inside has its name on top
const TALL_ENOUGH = 54; // and from this one on, a picture leaves room for a name

// `scene` says what is drawn: { parts, placed, scale, own, tint, partsOf, noted }; it is drawn anew as pictures come in.
const makePainter = ({ canvas, model, pictureOf }) => {
  const decoded = new Map();
  let scene = null;
  let pending = 0;
  let pen = null;

  const imageOf = (source) => {
    let image = decoded.get(source);
    if (!image) {
      image = new Image();
      image.addEventListener("load", () => {
        cancelAnimationFrame(pending);
        pending = requestAnimationFrame(() => paint(scene));
      });
      image.src = source;
      if (decoded.size > 600) decoded.clear();
      decoded.set(source, image);
    }
    return image.complete && image.naturalWidth ? image : null;
  };
  const fill = ({ x, y, w, h }, rgb) => {
    pen.fillStyle = css(rgb);
    pen.fillRect(x + 0.5, y + 0.5, Math.max(0.5, w - 1), Math.max(0.5, h - 1));
    if (w > 8 && h > 8) pen.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  };
  const name = (i, { x, y, w }, rgb) => {
    pen.fillStyle = inkOn(rgb);
    const text = fitting(model.names[i], w - 7, (each) => pen.measureText(each).width);
    pen.fillText(text, x + 4, y + 9);
  };
  // The middle of a picture fills its place.
  const picture = (i, box) => {
    const source = pictureOf(i);
    const image = source && imageOf(source);
    if (image) {
      const top = box.h > TALL_ENOUGH ? 17 : 3;
      const [w, h] = [box.w - 6, box.h - top - 3];
      const scale = Math.max(w / image.naturalWidth, h / image.naturalHeight);
      const [sw, sh] = [w / scale, h / scale];
      const [sx, sy] = [(image.naturalWidth - sw) / 2, (image.naturalHeight - sh) / 2];
      pen.drawImage(image, sx, sy, sw, sh, box.x + 3, box.y + top, w, h);
    }
    return !!source;
  };
  const inside = (part, box, depth) => {
    scene.noted(part, box);
    const top = depth === 1 ? (box.h > 40 ? HEADER : 2) : box.h > DEEP && box.w > 46 ? 16 : 2;
    const inner = { x: box.x + 2, y: box.y + top, w: box.w - 4, h: box.h - top - 2 };
    if (inner.w < 5 || inner.h < 5) return;
    const parts = scene.partsOf(part.at);
    const areas = parts.map(({ area }) => area);
    const placed = squarify(areas, inner);
    parts.forEach((each, at) => within(each, placed[at], depth));
  };
  const within = (part, box, depth) => {
    if (box.w < 0.7 || box.h < 0.7) return;
    const { own, tint, scale } = scene;
    const hasInside = !part.self && model.children[part.at].length > 0;
    const rgb = scale.of((part.self ? own : tint)[part.at]);
    fill(box, rgb);
    if (hasInside) inside(part, box, depth + 1);
    else scene.noted(part, box);
    const isPictured = !hasInside && box.w > 38 && box.h > 38 && picture(part.at, box);
    const least = hasInside ? DEEP : isPictured ? TALL_ENOUGH : 17;
    if (!part.self && box.w > 46 && box.h > least) name(part.at, box, rgb);
  };
  const paint = (wanted) => {
    scene = wanted;
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(scene.w * ratio), Math.round(scene.h * ratio)];
    pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.strokeStyle = "rgb(128 128 128 / 28%)"; // parts neighbors of one color
    scene.parts.forEach((part, at) => {
      fill(scene.placed[at], scene.shades[at]);
      if (part.hasInside) inside(part, scene.placed[at], 1);
      else scene.noted(part, scene.placed[at]);
    });
  };
  return { paint };
};
