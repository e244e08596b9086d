"use strict";
// The methods of the page "Play with Rprop", as pure functions.
//
// A method is `start(n)`, the state for n coordinates, and `step(state, gradient, loss)`,
// which returns the next state and the moves. A rule of Rprop says what happened to each
// coordinate, too. The scripts here are classic ones: browsers load no modules from file://.

const Rprop = (() => {
  const RULES = ["irprop-", "irprop+", "rprop-", "rprop+"];

  // The settings have the names and the values that they have in Python.
  const DEFAULTS = {
    learning_rate: 0.1,
    eta_minus: 0.5,
    eta_plus: 1.2,
    min_step_size: 1e-6,
    max_step_size: 50,
  };

  /** One of the four rules. `round` is Math.fround for float32, where nothing else rounds. */
  function rprop(rule, settings = {}, round = (x) => x) {
    const [first, etaMinus, etaPlus, min, max] = Object.keys(DEFAULTS).map((name) =>
      round(settings[name] ?? DEFAULTS[name])
    );
    const grow = (size) => Math.min(round(size * etaPlus), max);
    const halve = (size) => Math.max(round(size * etaMinus), min);

    /** s is the sign now, p the remembered one, D the step size. */
    function coordinate(s, p, D, lossRose) {
      if (s * p > 0) {
        const grown = grow(D);
        return { event: "grow", size: grown, move: -s * grown, sign: s };
      }
      if (s * p === 0) return { event: "keep", size: D, move: -s * D, sign: s };

      const size = halve(D);
      const turn = { event: "halve", size, move: -s * size, sign: s };
      const stay = { event: "halve", size, move: 0, sign: 0 };
      const undo = { event: "undo", size, move: p * D, sign: 0 };
      switch (rule) {
        case "rprop-": return turn;
        case "irprop-": return stay;
        case "rprop+": return undo;
        case "irprop+": return lossRose ? undo : stay;
      }
    }

    /** At a loss that is not finite: what moved goes back, whatever the gradient says. */
    function reject(p, D) {
      return { event: "reject", size: halve(D), move: p * D, sign: 0 };
    }

    return {
      start: (n) => ({ sizes: Array(n).fill(first), signs: Array(n).fill(0), loss: Infinity }),

      step(state, gradient, loss = null) {
        const rejected = loss !== null && !Number.isFinite(loss);
        const lossRose = loss !== null && loss > state.loss;
        const next = gradient.map((g, i) =>
          rejected
            ? reject(state.signs[i], state.sizes[i])
            : coordinate(Math.sign(g) || 0, state.signs[i], state.sizes[i], lossRose)
        );
        return {
          state: {
            sizes: next.map((c) => c.size),
            signs: next.map((c) => c.sign),
            loss,
          },
          moves: next.map((c) => c.move),
          events: next.map((c) => c.event),
        };
      },
    };
  }

  // The two columns of a basis are p and q; turn gives the coordinates of a vector in it.
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
  const turn = (basis, vector) => basis.map((direction) => dot(direction, vector));
  const turnBack = ([p, q], [a, b]) => [a * p[0] + b * q[0], a * p[1] + b * q[1]];

  /** irprop- in a basis that follows the curvature: `in_eigenbasis`, for two parameters. */
  function inEigenbasis(inner) {
    const decay = 0.9, ridge = 1e-7;

    /** The moment with a change of the gradient in it. */
    function observe(moment, change) {
      const length = Math.hypot(...change);
      if (length === 0) return moment;
      return moment.map((row, i) =>
        row.map((m, j) => decay * m + (1 - decay) * change[i] * change[j] / length)
      );
    }

    /** A step of orthogonal iteration. In the plane, one direction gives the other. */
    function refresh([p, q], moment) {
      const trace = moment[0][0] + moment[1][1];
      if (trace === 0) return [p, q];
      const image = p.map((x, i) => dot(moment[i], p) / trace + ridge * x);
      const length = Math.hypot(...image);
      const newP = image.map((x) => x / length);
      const across = [-newP[1], newP[0]];
      return [newP, dot(across, q) < 0 ? across.map((x) => -x) : across];
    }

    return {
      start: () => ({
        ...inner.start(2),
        seen: 0,
        basis: [[1, 0], [0, 1]],
        moment: [[0, 0], [0, 0]],
        gradient: [0, 0],
      }),

      step(state, gradient, loss) {
        let { seen, moment, basis } = state;
        const accepted = Number.isFinite(loss);
        const interval = seen < 30 ? 3 : 10;
        // At a rejected step the basis stays: it goes back along the directions it came from.
        if (accepted && seen > 0) {
          moment = observe(moment, gradient.map((g, i) => g - state.gradient[i]));
          if (seen % interval === 0) basis = refresh(basis, moment);
        }
        const slopes = turn(basis, gradient);
        const { state: next, moves, events } = inner.step(state, slopes, loss);
        return {
          state: {
            ...next,
            seen: seen + accepted,
            basis,
            moment,
            gradient: accepted ? gradient : state.gradient,
          },
          moves: turnBack(basis, moves),
          events,
          slopes,
        };
      },
    };
  }

  function gradientDescent(rate) {
    return {
      start: () => ({}),
      step: (state, gradient) => ({ state, moves: gradient.map((g) => -rate * g) }),
    };
  }

  function adam(rate) {
    const decay = 0.9, decay2 = 0.999, epsilon = 1e-8;
    return {
      start: (n) => ({ count: 0, mean: Array(n).fill(0), square: Array(n).fill(0) }),
      step(state, gradient) {
        const count = state.count + 1;
        const mean = state.mean.map((m, i) => decay * m + (1 - decay) * gradient[i]);
        const square = state.square.map((v, i) => decay2 * v + (1 - decay2) * gradient[i] ** 2);
        const moves = mean.map(
          (m, i) =>
            (-rate * m) / (1 - decay ** count) /
            (Math.sqrt(square[i] / (1 - decay2 ** count)) + epsilon)
        );
        return { state: { count, mean, square }, moves };
      },
    };
  }

  /** A method of the page, with a first step for Rprop and a rate for gradient descent. */
  function method(name, { first, rate }) {
    switch (name) {
      case "eigenbasis": return inEigenbasis(method("irprop-", { first }));
      case "descent": return gradientDescent(rate);
      case "adam": return adam(0.1);
      default: return rprop(name, { learning_rate: first });
    }
  }

  return { RULES, rprop, method };
})();

if (typeof module !== "undefined") module.exports = Rprop;
