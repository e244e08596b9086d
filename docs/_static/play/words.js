"use strict";
// What the page says: a step in words, and the scenes to try.

const Words = (() => {
  const EVENTS = {
    grow: { glyph: "▲", says: "same sign: grow" },
    keep: { glyph: "•", says: "no sign to compare: keep" },
    halve: { glyph: "▼", says: "sign changed: halve" },
    undo: { glyph: "↶", says: "halve and go back" },
    reject: { glyph: "✕", says: "loss is NaN: all go back" },
  };

  const METHODS = {
    "irprop-": "irprop−",
    "irprop+": "irprop+",
    "rprop-": "rprop−",
    "rprop+": "rprop+",
    eigenbasis: "in the eigenbasis",
    descent: "gradient descent",
    adam: "Adam",
  };

  const BASE = {
    method: "irprop-",
    ratio: 10,
    turn: 0,
    noise: 0,
    first: 0.1,
    x: 3,
    y: 2,
    cliff: 0,
    near: 0,
  };
  const SCENES = [
    {
      name: "Step by step",
      says: `Press <i>Step</i>. Each coordinate looks at the sign of its own slope and at nothing
        else. While the sign stays, its step grows by 1.2. When it changes, the minimum was
        passed, and the step is halved.`,
    },
    {
      name: "Narrow valley",
      set: { ratio: 1000 },
      says: `A thousand times steeper along y than along x. Each coordinate has its own step, and a
        sign does not say how steep a slope is, so this costs next to nothing: slide the ratio
        from 1 to 10,000 and watch the counts. Gradient descent has one rate for both.`,
    },
    {
      name: "Turned",
      set: { ratio: 1000, turn: 30 },
      says: `The same valley across the axes. Along it x and y have to move together, and either one
        alone climbs a wall. So their signs keep changing and both steps stay short. Run a while,
        then look close up. This is the weakness of Rprop.`,
    },
    {
      name: "Eigenbasis",
      set: { ratio: 1000, turn: 30, method: "eigenbasis" },
      says: `The same rule in the turned valley, along directions u and v that follow the curvature.
        The cross at the point shows them: it starts along the axes and turns with
        the fourth step.`,
    },
    {
      name: "First step",
      set: { ratio: 1000, first: 0.001 },
      says: `A first step a hundred times shorter. Each repeated sign lengthens it by 1.2, so after
        some 25 steps it is forgotten. Slide it up to 3: halving is even faster.`,
    },
    {
      name: "Four rules",
      set: { ratio: 20, turn: 20 },
      says: `Only what follows a change of sign tells the four rules apart. rprop− turns round,
        irprop− stands still for a step, rprop+ goes back, and irprop+ goes back if the loss
        rose. Run, and compare the four maps below.`,
    },
    {
      name: "Noise",
      set: { noise: 1 },
      says: `Noise changes signs by chance, and each change halves a step. The steps shrink to nothing
        and the loss stalls. If noise alone decides, the sign changes at 1/3 of the steps, with
        rprop− at 1/2. So Rprop is for full batches and not for mini-batches.`,
    },
    {
      name: "NaN cliff",
      set: { x: 1.5, y: -2, turn: 30, cliff: 1 },
      says: `Left of the edge the loss is NaN, as for the logarithm of a negative number. A step that
        leads there is taken back, and both steps are halved. Then take gradient descent or Adam
        from the same start: one NaN, and their parameters are lost.`,
    },
  ].map(({ name, says, set }) => ({ name, says, set: { ...BASE, ...set } }));

  /** Three digits; a power of ten where a decimal would be long. */
  function number(x) {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : "∞";
    const size = Math.abs(x);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
      const [digits, exponent] = x.toExponential(1).split("e");
      return `${minus(digits)}·${power(Number(exponent))}`;
    }
    return minus(String(Number(x.toPrecision(3))));
  }

  const whole = (x) => x.toLocaleString("en");
  const minus = (text) => text.replace("-", "−");
  const power = (exponent) =>
    "10" + [...String(exponent)].map((d) => (d === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[d])).join("");

  function names(method) {
    return method === "eigenbasis" ? ["u", "v"] : ["x", "y"];
  }

  function coordinate(method, name, entry, i) {
    const event = entry.events[i];
    const size = number(entry.state.sizes[i]);
    const mark = (text) => `<b class="${event}">${EVENTS[event].glyph} ${text}</b>`;
    const then = {
      "rprop-": `and ${name} turns round`,
      "irprop+": `and ${name} stands still once, as the loss did not rise`,
    }[method] ?? `and ${name} stands still once`;
    const rose = method === "irprop+" ? " and the loss rose" : "";
    switch (event) {
      case "grow":
        return `${name} has the same sign as before: ${mark(`its step grows to ${size}`)}.`;
      case "keep":
        return entry.state.signs[i] === 0
          ? `${name} has no slope: ${mark("it stays")}.`
          : `${name} remembers no sign: ${mark(`its step stays ${size}`)}.`;
      case "halve":
        return `${name} changed its sign: ${mark(`its step is halved to ${size}`)}, ${then}.`;
      case "undo":
        return `${name} changed its sign${rose}: ${mark("its last move is taken back")},
          and its step is halved to ${size}.`;
    }
  }

  /** What the step did that led to this entry of a walk. */
  function sentence(method, entry) {
    if (!entry.moves) {
      const steps = entry.state.sizes?.map(number);
      return steps ? `The start: both steps are ${steps[0]}, and no sign is remembered.` : "The start.";
    }
    if (!entry.events) {
      if (entry.point.some(Number.isNaN)) {
        return "<b class='reject'>✕ The slopes are NaN, and now x and y are: this run has ended.</b>";
      }
      const [x, y] = entry.moves.map(number);
      const why = method === "adam"
        ? "running means of the slopes and of their squares decide"
        : "the slopes times one rate for both";
      return `x moves by ${x} and y by ${y}: ${why}.`;
    }
    const [first, second] = names(method);
    if (entry.events[0] === "reject") {
      const sizes = entry.state.sizes.map(number).join(" and ");
      const back = entry.moves.some((move) => move !== 0)
        ? "the last step is taken back"
        : "there is no step to take back";
      return `<b class="reject">✕ The loss is NaN: ${back}.</b> The steps of ${first} and
        ${second} are halved to ${sizes}, and the signs are forgotten.`;
    }
    return [first, second]
      .map((name, i) => `<span>${coordinate(method, name, entry, i)}</span>`)
      .join(" ");
  }

  return { EVENTS, METHODS, SCENES, whole, number, power, names, sentence };
})();

if (typeof module !== "undefined") module.exports = Words;
