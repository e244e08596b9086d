"use strict";
// What the page says: a step in words, and numbers.

const Words = (() => {
  const EVENTS = {
    grow: { glyph: "▲", says: "same sign: grow" },
    keep: { glyph: "•", says: "no sign to compare: keep" },
    halve: { glyph: "▼", says: "sign changed: halve" },
    undo: { glyph: "↶", says: "halve and go back" },
    reject: { glyph: "✕", says: "loss is NaN: all go back" },
  };

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
      return steps
        ? `The start: both steps are ${steps[0]}, and no sign is remembered.`
        : "The start.";
    }
    if (!entry.events) {
      if (entry.point.some(Number.isNaN)) {
        return `<b class="reject">✕ The slopes are NaN, and now x and y are: this run has
          ended.</b>`;
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

  return { EVENTS, whole, number, power, names, sentence };
})();

if (typeof module !== "undefined") module.exports = Words;
