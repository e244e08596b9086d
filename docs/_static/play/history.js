"use strict";
// The picture of a run: loss, step sizes and signs, step by step.

const RunHistory = (() => {
  const { cleared, colours, line, dot } = Canvas;

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

  /** The loss; a cross where it is NaN. */
  function lossPanel(c, frame, toX, entries, ink) {
    const range = decades([entries[0].loss], -7, 1);
    const toY = panel(c, frame, range, "loss", ink);
    const target = toY(Valley.TARGET);
    c.strokeStyle = ink.mute;
    c.setLineDash([2, 3]);
    line(c, [[frame.left, target], [frame.right, target]]);
    c.setLineDash([]);
    c.strokeStyle = ink.fg;
    c.lineWidth = 1.8;
    line(c, entries.map(({ loss }, step) => [toX(step), toY(loss)]));
    c.fillStyle = ink.reject;
    c.textAlign = "center";
    entries.forEach(({ loss }, step) => {
      if (Number.isNaN(loss)) c.fillText("✕", toX(step), frame.top + 10);
    });
  }

  /** Both step sizes, with what happened to them where there is room for it. */
  function sizePanel(c, frame, toX, entries, names, ink) {
    const sizesOf = ({ state, moves }) => state.sizes ?? moves?.map(Math.abs) ?? [NaN, NaN];
    const kind = entries[0].state.sizes ? "step sizes" : "moves";
    const title = `${kind} of ${names[0]} (—) and ${names[1]} (- -)`;
    const toY = panel(c, frame, decades(entries.flatMap(sizesOf), -3, 1), title, ink);
    const hasRoom = 5 * entries.length < frame.right - frame.left;
    names.forEach((name, i) => {
      const points = entries.map((entry, step) => [toX(step), toY(sizesOf(entry)[i])]);
      c.strokeStyle = ink.fg;
      c.lineWidth = 1.5;
      c.setLineDash(i ? [5, 3] : []);
      line(c, points);
      c.setLineDash([]);
      entries.forEach(({ events }, step) => {
        if (events && hasRoom) dot(c, points[step], 2.6, [events[i], events[i]], ink);
      });
    });
    // Names beside the ends of the lines, apart from each other.
    const ends = sizesOf(entries.at(-1)).map(toY);
    const apart = Math.abs(ends[0] - ends[1]) < 12 ? 6 * (ends[0] < ends[1] ? -1 : 1) : 0;
    c.fillStyle = ink.fg;
    c.textAlign = "center";
    names.forEach((name, i) =>
      c.fillText(name, toX(entries.length - 1) + 10, ends[i] + 4 + (i ? -apart : apart))
    );
  }

  /** A cell for each of the last steps: the sign of the slope, and what it did. */
  function strip(c, { left, right, top }, cells, entries, names, ink) {
    const steps = entries.length - 1;
    const last = entries.slice(1).slice(-cells);
    const width = (right - left) / cells;
    const shown = steps > cells ? `, the last ${cells} of ${Words.whole(steps)} steps` : "";
    c.textAlign = "left";
    c.fillStyle = ink.fg;
    c.fillText(`signs${shown}`, left, top);
    names.forEach((name, i) => {
      const y = top + 6 + 37 * i;
      c.fillStyle = ink.fg;
      c.textAlign = "right";
      c.fillText(name, left - 10, y + 21);
      c.textAlign = "center";
      last.forEach(({ slopes, events }, j) => {
        const event = events?.[i] ?? "keep";
        const x = left + j * width;
        c.fillStyle = ink[event];
        c.fillRect(x, y, width - 1.5, 34);
        c.fillStyle = ink.bg;
        c.fillText(sign(slopes[i]), x + width / 2 - 0.7, y + 14);
        if (events) c.fillText(Words.EVENTS[event].glyph, x + width / 2 - 0.7, y + 29);
      });
    });
  }

  function sign(g) {
    if (Number.isNaN(g)) return "?";
    return g > 0 ? "+" : g < 0 ? "−" : "0";
  }

  /** The loss and the step sizes, step by step, and the signs of the last steps. */
  function draw(canvas, method, entries) {
    const { c, width, height } = cleared(canvas);
    const ink = colours(canvas);
    const names = Words.names(method);
    const [left, right, top] = [38, width - 22, height - 88];
    const half = (top - 40) / 2;
    const cells = Math.floor((right - left) / 16);
    const steps = Math.max(entries.length - 1, cells); // while there are few, above their cells
    const toX = (step) => left + (step / steps) * (right - left);
    lossPanel(c, { left, right, top: 22, bottom: 12 + half }, toX, entries, ink);
    sizePanel(c, { left, right, top: 40 + half, bottom: top - 12 }, toX, entries, names, ink);
    strip(c, { left, right, top: top + 8 }, cells, entries, names, ink);
  }

  return { draw };
})();
