"use strict";
// The pictures of the page: the valley with a path, and the history of a run.

const Draw = (() => {
  const FONT = "12px system-ui, sans-serif";
  const AXES = [[1, 0], [0, 1]];
  const MOST_DOTS = 2000;

  /** A canvas in its size on the screen, cleared: its context, width and height. */
  function cleared(canvas) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const c = canvas.getContext("2d");
    c.scale(scale, scale);
    c.font = FONT;
    c.lineJoin = "round";
    return { c, width, height };
  }

  /** The colours of the style sheet, by name. */
  function colours(element) {
    const style = getComputedStyle(element);
    return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
  }

  function line(c, points) {
    c.beginPath();
    let down = false;
    for (const [x, y] of points) {
      const drawn = Number.isFinite(x) && Number.isFinite(y);
      if (drawn && down) c.lineTo(x, y);
      else if (drawn) c.moveTo(x, y);
      down = drawn;
    }
    c.stroke();
  }

  /** From parameters to pixels: the window reaches `reach` from its centre, both ways. */
  function view(canvas, { centre: [x0, y0], reach }) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const unit = Math.min(width, height) / 2 / reach;
    return {
      toPixel: ([x, y]) => [width / 2 + (x - x0) * unit, height / 2 - (y - y0) * unit],
      toPoint: ([x, y]) => [x0 + (x - width / 2) / unit, y0 + (height / 2 - y) / unit],
    };
  }

  /** The window of the last dozen points, with some room; it gets twice as close at once. */
  function closeUp(entries, farthest) {
    const points = entries.slice(-12).map(({ point }) => point);
    const ranges = [0, 1].map((i) => {
      const values = points.map((point) => point[i]).filter(Number.isFinite);
      return [Math.min(...values), Math.max(...values)];
    });
    const half = Math.max(...ranges.map(([low, high]) => (high - low) / 2));
    const reach = Math.max(1e-5, 2 ** Math.ceil(Math.log2(1.3 * half)));
    if (half === 0 || reach > farthest / 2) return { centre: [0, 0], reach: farthest };
    return { centre: ranges.map(([low, high]) => (low + high) / 2), reach };
  }

  /** Lines of equal loss, closer to each other the lower it is, from the lowest in view. */
  function contours(c, { toPixel, toPoint }, { width, height }, { ratio, turn }, ink) {
    const angle = (turn * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const toValley = ([x, y]) => [cos * x + sin * y, cos * y - sin * x];
    const fromValley = ([u, v]) => [cos * u - sin * v, sin * u + cos * v];

    const parts = Array.from({ length: 25 }, (_, i) => i / 24);
    const seen = parts.flatMap((i) =>
      parts.map((j) => toValley(toPoint([i * width, j * height])))
    );
    const losses = seen.map(([u, v]) => 0.5 * (u * u + ratio * v * v));
    const [lowest, highest] = [Math.min(...losses), Math.max(...losses)];
    const along = seen.map(([u]) => u);
    const [left, right] = [Math.min(...along), Math.max(...along)];

    c.fillStyle = c.strokeStyle = ink.valley;
    c.lineWidth = 1;
    const levels = 11;
    const turns = Array.from({ length: 101 }, (_, i) => (Math.PI * i) / 100);
    for (let i = 0; i <= levels; i++) {
      const loss = lowest + (highest - lowest) * (1500 * ratio) ** (-i / levels);
      const end = Math.sqrt(2 * loss);
      const [from, to] = [Math.max(left, -end), Math.min(right, end)];
      const half = turns.map((turn) => {
        const u = from + ((to - from) * (1 - Math.cos(turn))) / 2;
        return [u, Math.sqrt(Math.max(0, end ** 2 - u ** 2) / ratio)];
      });
      const around = [...half, ...half.reverse().map(([u, v]) => [u, -v])];
      c.globalAlpha = 0.3;
      line(c, [...around, around[0]].map((point) => toPixel(fromValley(point))));
      c.globalAlpha = 0.07;
      c.fill();
    }
    c.globalAlpha = 1;
  }

  function cliff(c, { toPixel }, height, ink) {
    const [edge] = toPixel([Valley.CLIFF, 0]);
    c.save();
    c.beginPath();
    c.rect(0, 0, edge, height);
    c.clip();
    c.fillStyle = ink.bg;
    c.globalAlpha = 0.75;
    c.fillRect(0, 0, edge, height);
    c.globalAlpha = 0.35;
    c.strokeStyle = ink.reject;
    for (let x = -height; x < edge; x += 9) line(c, [[x, height], [x + height, 0]]);
    c.restore();
    c.lineWidth = 2;
    c.strokeStyle = c.fillStyle = ink.reject;
    line(c, [[edge, 0], [edge, height]]);
    c.fillText("NaN", edge - 32, height - 8);
  }

  /** A dot in two halves, what x did on the left and what y did on the right. */
  function dot(c, [x, y], radius, events, ink) {
    if (events?.[0] === events?.[1]) {
      c.fillStyle = events ? ink[events[0]] : ink.fg;
      c.beginPath();
      c.arc(x, y, radius, 0, 2 * Math.PI);
      c.fill();
      return;
    }
    for (const [i, from] of [[0, Math.PI / 2], [1, -Math.PI / 2]]) {
      c.fillStyle = ink[events[i]];
      c.beginPath();
      c.arc(x, y, radius, from, from + Math.PI);
      c.fill();
    }
  }

  /** How far each coordinate would move now, along its own direction. */
  function reachOfSteps(c, { toPixel }, { point, state }, ink) {
    c.strokeStyle = ink.fg;
    c.lineWidth = 1.5;
    (state.basis ?? AXES).forEach((direction, i) => {
      const ends = [-1, 1].map((way) =>
        toPixel(point.map((x, j) => x + way * state.sizes[i] * direction[j]))
      );
      line(c, ends);
      for (const [x, y] of ends) {
        line(c, [-4, 4].map((d) => [x + d * direction[1], y + d * direction[0]]));
      }
    });
  }

  /** The valley and the path over it. */
  function map(canvas, scene, entries, seen, small = false) {
    const { c, width, height } = cleared(canvas);
    const ink = colours(canvas);
    const window = view(canvas, seen);
    contours(c, window, { width, height }, scene, ink);
    const centre = window.toPixel([0, 0]);
    c.strokeStyle = ink.line;
    c.lineWidth = 1;
    line(c, [[0, centre[1]], [width, centre[1]]]);
    line(c, [[centre[0], 0], [centre[0], height]]);
    if (scene.cliff) cliff(c, window, height, ink);
    if (!small) {
      c.fillStyle = ink.mute;
      c.fillText("x", width - 12, centre[1] - 6);
      c.fillText("y", centre[0] + 6, 12);
      c.textAlign = "right";
      c.fillText(`${Words.number(2 * seen.reach)} wide`, width - 8, height - 8);
      c.textAlign = "left";
    }

    const pixels = entries.map(({ point }) => window.toPixel(point));
    c.strokeStyle = ink.fg;
    c.globalAlpha = 0.55;
    line(c, pixels);
    c.globalAlpha = 1;
    const num = pixels.filter(([x, y]) => x > 0 && x < width && y > 0 && y < height).length;
    const radius = (num < 80 ? 4.5 : num < 400 ? 3 : 2) - (small ? 1 : 0);
    const from = Math.max(1, entries.length - MOST_DOTS);
    for (let i = from; i < entries.length; i++) dot(c, pixels[i], radius, entries[i].events, ink);

    const last = entries.at(-1);
    if (!small && last.state.sizes) reachOfSteps(c, window, last, ink);
    const end = pixels.at(-1);
    dot(c, end, last.events ? radius + (small ? 1.5 : 3) : 3, last.events, ink);
    c.strokeStyle = ink.bg;
    c.lineWidth = 1.5;
    c.beginPath();
    if (last.events) c.arc(...end, radius + (small ? 2 : 3.5), 0, 2 * Math.PI);
    c.stroke();
    c.strokeStyle = ink.fg;
    c.beginPath();
    c.arc(...pixels[0], small ? 4 : 9, 0, 2 * Math.PI);
    c.stroke();
    if (!small) {
      c.fillStyle = ink.fg;
      const [x, y] = pixels[0];
      c.fillText("start", x > width - 50 ? x - 42 : x + 13, y < 20 ? y + 16 : y - 8);
    }
  }

  /** A panel with powers of ten on its axis; returns the height of a value. */
  function panel(c, { left, right, top, bottom }, [low, high], title, ink) {
    const toPixel = (value) => {
      const share = (Math.log10(value) - low) / (high - low);
      return bottom - Math.min(Math.max(share, 0), 1) * (bottom - top);
    };
    const every = Math.max(1, Math.ceil((high - low) / 4));
    c.lineWidth = 1;
    for (let exponent = low; exponent <= high; exponent += every) {
      const y = toPixel(10 ** exponent);
      c.strokeStyle = ink.line;
      line(c, [[left, y], [right, y]]);
      c.fillStyle = ink.mute;
      c.textAlign = "right";
      c.fillText(Words.power(exponent), left - 5, y + 4);
    }
    c.textAlign = "left";
    c.fillStyle = ink.fg;
    c.fillText(title, left, top - 8);
    return toPixel;
  }

  /** The exponents between which all these values lie, and at least `low` and `high`. */
  function decades(values, low, high) {
    for (const value of values) {
      if (!(value > 0 && value < Infinity)) continue;
      low = Math.min(low, Math.floor(Math.log10(value)));
      high = Math.max(high, Math.ceil(Math.log10(value)));
    }
    return [low, high];
  }

  /** The loss and the step sizes, step by step, and the signs of the last steps. */
  function history(canvas, method, entries) {
    const { c, width, height } = cleared(canvas);
    const ink = colours(canvas);
    const [left, right, stripTop] = [38, width - 22, height - 88];
    const cells = Math.floor((right - left) / 16);
    const cell = (right - left) / cells;
    const steps = entries.length - 1;
    const toX = (i) => left + (i / Math.max(steps, cells)) * (right - left);
    const half = (stripTop - 40) / 2;
    const names = Words.names(method);

    const loss = { left, right, top: 22, bottom: 12 + half };
    const lossRange = decades([entries[0].loss], -7, 1);
    const lossY = panel(c, loss, lossRange, "loss", ink);
    c.strokeStyle = ink.mute;
    c.setLineDash([2, 3]);
    line(c, [[left, lossY(Valley.TARGET)], [right, lossY(Valley.TARGET)]]);
    c.setLineDash([]);
    c.strokeStyle = ink.fg;
    c.lineWidth = 1.8;
    line(c, entries.map((entry, i) => [toX(i), lossY(entry.loss)]));
    c.fillStyle = ink.reject;
    c.textAlign = "center";
    entries.forEach((entry, i) => {
      if (Number.isNaN(entry.loss)) c.fillText("✕", toX(i), loss.top + 10);
    });

    const sizes = { left, right, top: 40 + half, bottom: stripTop - 12 };
    const sizesOf = ({ state, moves }) => state.sizes ?? moves?.map(Math.abs) ?? [NaN, NaN];
    const sizeRange = decades(entries.flatMap(sizesOf), -3, 1);
    const kind = entries[0].state.sizes ? "step sizes" : "moves";
    const sizeY = panel(c, sizes, sizeRange, `${kind} of ${names[0]} (—) and ${names[1]} (- -)`, ink);
    names.forEach((name, i) => {
      const points = entries.map((entry, step) => [toX(step), sizeY(sizesOf(entry)[i])]);
      c.strokeStyle = ink.fg;
      c.lineWidth = 1.5;
      c.setLineDash(i ? [5, 3] : []);
      line(c, points);
      c.setLineDash([]);
      if (steps > 3 * cells) return;
      entries.forEach(({ events }, step) => {
        if (events) dot(c, points[step], 2.6, [events[i], events[i]], ink);
      });
    });
    // Names beside the ends of the lines, apart from each other.
    const ends = sizesOf(entries.at(-1)).map(sizeY);
    const apart = Math.abs(ends[0] - ends[1]) < 12 ? 6 * (ends[0] < ends[1] ? -1 : 1) : 0;
    c.fillStyle = ink.fg;
    c.textAlign = "center";
    names.forEach((name, i) => c.fillText(name, toX(steps) + 10, ends[i] + 4 + (i ? -apart : apart)));

    const first = Math.max(1, steps - cells + 1);
    c.textAlign = "left";
    c.fillStyle = ink.fg;
    const shown = steps > cells ? `, the last ${cells} of ${Words.whole(steps)} steps` : "";
    c.fillText(`signs${shown}`, left, stripTop + 8);
    names.forEach((name, i) => {
      const top = stripTop + 14 + 37 * i;
      c.fillStyle = ink.fg;
      c.textAlign = "right";
      c.fillText(name, left - 10, top + 21);
      c.textAlign = "center";
      for (let step = first; step <= steps; step++) {
        const { slopes, events } = entries[step];
        const event = events?.[i] ?? "keep";
        const x = left + (step - first) * cell;
        c.fillStyle = ink[event];
        c.fillRect(x, top, cell - 1.5, 34);
        c.fillStyle = ink.bg;
        c.fillText(sign(slopes[i]), x + cell / 2 - 0.7, top + 14);
        if (events) c.fillText(Words.EVENTS[event].glyph, x + cell / 2 - 0.7, top + 29);
      }
    });
  }

  function sign(g) {
    if (Number.isNaN(g)) return "?";
    return g > 0 ? "+" : g < 0 ? "−" : "0";
  }

  return { map, history, view, closeUp };
})();
