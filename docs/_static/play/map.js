"use strict";
// The picture of the valley with a path.

const ValleyMap = (() => {
  const { cleared, colours, line, dot } = Canvas;
  const AXES = [[1, 0], [0, 1]];
  const MOST_DOTS = 1000; // of a path; the last ones

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

  function path(c, pixels, entries, radius, ink) {
    c.strokeStyle = ink.fg;
    c.globalAlpha = 0.55;
    line(c, pixels);
    c.globalAlpha = 1;
    for (let i = Math.max(1, entries.length - MOST_DOTS); i < entries.length; i++) {
      dot(c, pixels[i], radius, entries[i].events, ink);
    }
  }

  function ring(c, at, radius, colour) {
    c.strokeStyle = colour;
    c.lineWidth = 1.5;
    c.beginPath();
    c.arc(...at, radius, 0, 2 * Math.PI);
    c.stroke();
  }

  /** The valley and the path over it, in a window; a small picture has no words. */
  function draw(canvas, scene, entries, { centre, reach }, isSmall = false) {
    const { c, width, height } = cleared(canvas);
    const ink = colours(canvas);
    const window = view(canvas, { centre, reach });
    const pixels = entries.map(({ point }) => window.toPixel(point));
    const minimum = window.toPixel([0, 0]);
    const isSeen = ([x, y]) => x > 0 && x < width && y > 0 && y < height;
    const numSeen = pixels.filter(isSeen).length;
    const radius = (numSeen < 80 ? 4.5 : numSeen < 400 ? 3 : 2) - (isSmall ? 1 : 0);

    contours(c, window, { width, height }, scene, ink);
    c.strokeStyle = ink.line;
    c.lineWidth = 1;
    line(c, [[0, minimum[1]], [width, minimum[1]]]);
    line(c, [[minimum[0], 0], [minimum[0], height]]);
    if (scene.cliff) cliff(c, window, height, ink);
    path(c, pixels, entries, radius, ink);

    const last = entries.at(-1);
    if (!isSmall && last.state.sizes) reachOfSteps(c, window, last, ink);
    if (entries.length > 1) {
      dot(c, pixels.at(-1), radius + 2, last.events, ink);
      ring(c, pixels.at(-1), radius + 2.5, ink.bg);
    }
    ring(c, pixels[0], isSmall ? 4 : 9, ink.fg);
    if (isSmall) return;
    const [x, y] = pixels[0];
    c.fillStyle = ink.fg;
    c.fillText("start", x > width - 50 ? x - 42 : x + 13, y < 20 ? y + 16 : y - 8);
    c.fillStyle = ink.mute;
    c.fillText("x", width - 12, minimum[1] - 6);
    c.fillText("y", minimum[0] + 6, 12);
    c.textAlign = "right";
    c.fillText(`${Words.number(2 * reach)} wide`, width - 8, height - 8);
  }

  return { draw, view, closeUp };
})();
