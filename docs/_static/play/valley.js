"use strict";
// The loss of the page, and a walk of a method over it.

const Valley = (() => {
  const CLIFF = -0.3; // where there is a cliff, the loss is NaN to the left of it
  const TARGET = 1e-6; // the loss at which a method has arrived

  /** 0.5 p'Hp with curvature 1 along the valley and `ratio` across it. */
  function valley({ ratio, turn, cliff }) {
    const angle = (turn * Math.PI) / 180;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const along = ([x, y]) => c * x + s * y;
    const across = ([x, y]) => c * y - s * x;
    const isNaNAt = ([x]) => cliff && x < CLIFF;
    return {
      loss(p) {
        return isNaNAt(p) ? NaN : 0.5 * (along(p) ** 2 + ratio * across(p) ** 2);
      },
      gradient(p) {
        if (isNaNAt(p)) return [NaN, NaN];
        const [a, b] = [along(p), ratio * across(p)];
        return [c * a - s * b, s * a + c * b];
      },
      bestRate: 2 / (1 + ratio), // of gradient descent
    };
  }

  /** Normal numbers, the same ones for a seed. */
  function normal(seed) {
    function uniform() {
      // Mulberry32, of which 0 is left out for the logarithm below.
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 1) / 2 ** 32;
    }
    return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  /** The start, then one entry for each step, without end. */
  function* walk(method, { loss, gradient }, start, noise = 0) {
    const random = normal(1);
    let point = start, state = method.start(2), value = loss(point);
    yield { point, state, loss: value };
    while (true) {
      const seen = gradient(point).map((g) => g + noise * random());
      const { state: next, moves, events, slopes = seen } = method.step(state, seen, value);
      state = next;
      point = point.map((x, i) => x + moves[i]);
      value = loss(point);
      yield { point, state, loss: value, slopes, moves, events };
    }
  }

  /** Whether a run has arrived, or can't go on. */
  const hasEnded = ({ point, loss }) => loss <= TARGET || point.some(Number.isNaN);

  /** How many gradients it takes to arrive: Infinity beyond the limit, NaN if all is lost. */
  function count(steps, limit) {
    let i = 0;
    for (const entry of steps) {
      if (hasEnded(entry)) return entry.loss <= TARGET ? i : NaN;
      if (++i > limit) return Infinity;
    }
  }

  return { CLIFF, TARGET, valley, walk, hasEnded, count };
})();

if (typeof module !== "undefined") module.exports = Valley;
