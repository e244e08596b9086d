"use strict";
// What can be set on the page, scenes to try, and a scene as the text of an address.

const Scene = (() => {
  const METHODS = {
    "irprop-": "irprop-",
    "irprop+": "irprop+",
    "rprop-": "rprop-",
    "rprop+": "rprop+",
    eigenbasis: "in the eigenbasis",
    descent: "gradient descent",
    adam: "Adam",
  };

  const powers = (low, high, digits) =>
    Array.from({ length: high - low }, (_, i) =>
      digits.map((digit) => Number(`${digit}e${low + i}`))
    ).flat();
  const SLIDERS = {
    ratio: {
      label: "Valley, 1 to",
      values: [...powers(0, 5, [1, 2, 5]), 1e5],
      text: (x) => x.toLocaleString("en"),
    },
    turn: {
      label: "Turned by",
      values: Array.from({ length: 19 }, (_, i) => 5 * i),
      text: (x) => `${x}°`,
    },
    first: { label: "First step", values: [...powers(-3, 0, [1, 2, 5]), 1, 2, 3], text: String },
    noise: { label: "Noise of the slopes", values: [0, ...powers(-2, 2, [1, 3])], text: String },
  };
  const SWITCHES = ["cliff", "near"];
  const FARTHEST = 3.6; // a start from the minimum, along each axis
  const LIMIT = 20000; // the most steps of a run

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
    t: 0,
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
      says: `Only what follows a change of sign tells the four rules apart. rprop- turns round,
        irprop- stands still for a step, rprop+ goes back, and irprop+ goes back if the loss
        rose. Run, and compare the four maps below.`,
    },
    {
      name: "Noise",
      set: { noise: 1 },
      says: `Noise changes signs by chance, and each change halves a step. The steps shrink to
        nothing and the loss stalls. If noise alone decides, the sign changes at 1/3 of the
        steps, with rprop- at 1/2. So Rprop is for full batches and not for mini-batches.`,
    },
    {
      name: "NaN cliff",
      set: { x: 1.5, y: -2, turn: 30, cliff: 1 },
      says: `Left of the edge the loss is NaN, as for the logarithm of a negative number. A step
        that leads there is taken back, and both steps are halved. Then take gradient descent
        or Adam from the same start: one NaN, and their parameters are lost.`,
    },
  ].map(({ name, says, set }) => ({ name, says, set: { ...BASE, ...set } }));

  /** The scene of the list that this one is, whatever its start; undefined for none. */
  function listed(scene) {
    const own = ["method", "ratio", "turn", "noise", "first", "cliff"];
    return SCENES.find(({ set }) => own.every((name) => set[name] === scene[name]));
  }

  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const nearest = (values, x) =>
    values.reduce((best, value) => (Math.abs(value - x) < Math.abs(best - x) ? value : best));

  /** The scene that an address holds after its #, with defaults for what is not in it. */
  function parsed(text) {
    const given = new URLSearchParams(text);
    const scene = { ...BASE };
    const method = given.get("method");
    if (Object.hasOwn(METHODS, method)) scene.method = method;
    for (const name of Object.keys(BASE).slice(1)) {
      const value = Number(given.get(name) ?? NaN);
      if (Number.isFinite(value)) scene[name] = value;
    }
    for (const [name, { values }] of Object.entries(SLIDERS)) {
      scene[name] = nearest(values, scene[name]);
    }
    for (const name of ["x", "y"]) scene[name] = clamp(scene[name], -FARTHEST, FARTHEST);
    for (const name of SWITCHES) scene[name] = scene[name] ? 1 : 0;
    scene.t = clamp(Math.round(scene.t), 0, LIMIT);
    return scene;
  }

  /** The headings of a page have addresses, too. */
  const isScene = (text) => new URLSearchParams(text).has("method");
  const asText = (scene) => String(new URLSearchParams(scene));

  return {
    METHODS, SLIDERS, SWITCHES, SCENES, FARTHEST, LIMIT,
    listed, clamp, parsed, isScene, asText,
  };
})();

if (typeof module !== "undefined") module.exports = Scene;
