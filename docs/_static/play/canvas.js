"use strict";
// What the pictures share: canvases, the colours of the style sheet, lines and dots.

const Canvas = (() => {
  const FONT = "12px system-ui, sans-serif";

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

  const COLOURS = [
    "fg", "mute", "bg", "line", "valley", "grow", "keep", "halve", "undo", "reject",
  ];

  /** The colours of the style sheet, by name. */
  function colours(element) {
    const style = getComputedStyle(element);
    const named = COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
    return Object.fromEntries(named);
  }

  /** A line through these points, in parts where one is not finite. */
  function line(c, points) {
    c.beginPath();
    let last = null;
    for (const [x, y] of points) {
      const isDrawn = Number.isFinite(x) && Number.isFinite(y);
      // A long run ends with thousands of points in one place.
      if (isDrawn && last && Math.hypot(x - last[0], y - last[1]) < 0.2) continue;
      if (isDrawn && last) c.lineTo(x, y);
      else if (isDrawn) c.moveTo(x, y);
      last = isDrawn ? [x, y] : null;
    }
    c.stroke();
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

  return { cleared, colours, line, dot };
})();
