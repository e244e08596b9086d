"use strict";
// The page: builds itself in #play, and shows what the scene in the address says.

(() => {
  const LIMIT = 20000; // the most steps of a run
  const WHOLE = { centre: [0, 0], reach: 3.8 }; // what a map shows, if not close up
  const SWITCHES = ["cliff", "near"];
  const powers = (low, high, digits) =>
    Array.from({ length: high - low }, (_, i) => digits.map((d) => Number(`${d}e${low + i}`))).flat();
  const SLIDERS = {
    ratio: { label: "Valley, 1 to", values: [...powers(0, 5, [1, 2, 5]), 1e5] },
    turn: { label: "Turned by", unit: "°", values: Array.from({ length: 19 }, (_, i) => 5 * i) },
    first: { label: "First step", values: [...powers(-3, 0, [1, 2, 5]), 1, 2, 3] },
    noise: { label: "Noise of the slopes", values: [0, ...powers(-2, 2, [1, 3])] },
  };
  const SAME = ["method", "ratio", "turn", "noise", "first", "cliff"]; // what makes a scene
  const { whole } = Words;
  const show = { ratio: whole, first: String, noise: String, turn: (x) => `${x}°` };

  const root = document.getElementById("play");
  root.innerHTML = `
    <div class="scenes" role="group" aria-label="Scenes to try">
      ${Words.SCENES.map(({ name }, i) => `<button type="button" data-scene="${i}">${name}</button>`).join("")}
    </div>
    <p class="about">Choose a scene above, or change what you like.</p>
    <div class="stage">
      <canvas class="map" tabindex="0" role="application" aria-label="The valley and the path.
        Arrow keys move the start; so does a click."></canvas>
      <canvas class="history" role="img"></canvas>
      <div class="run">
        <div class="buttons">
          <button type="button" data-do="reset">To the start</button>
          <button type="button" data-do="back">Back</button>
          <button type="button" data-do="step" class="primary">Step</button>
          <button type="button" data-do="run">Run</button>
          <label class="check"><input type="checkbox" name="near"> Close up</label>
          <output class="status"></output>
        </div>
        <p class="says" aria-live="polite"></p>
      </div>
    </div>
    <ul class="legend">
      ${Object.entries(Words.EVENTS).map(([event, { glyph, says }]) =>
        `<li><span class="cell ${event}">${glyph}</span> ${says}</li>`).join("")}
      <li>The left half of a dot is x (or u), the right half y (or v). The cross shows both step sizes.</li>
    </ul>
    <div class="settings">
      <fieldset class="methods">
        <legend>Gradients until the loss is ${Words.power(-6)}</legend>
        ${Object.entries(Words.METHODS).map(([method, name]) => `
          <label><input type="radio" name="method" value="${method}"><span class="name">${name}</span>
            <span class="bar"><i></i></span><output data-count="${method}"></output></label>`).join("")}
        <p>Gradient descent has the best rate for the valley, Adam 0.1. The scale is logarithmic.</p>
      </fieldset>
      <fieldset class="sliders">
        <legend>Valley and first step</legend>
        ${Object.entries(SLIDERS).map(([name, { label, values }]) => `
          <label><span>${label} <output data-value="${name}"></output></span>
            <input type="range" name="${name}" min="0" max="${values.length - 1}" step="1"></label>`).join("")}
        <label class="check"><input type="checkbox" name="cliff"> A NaN cliff, left of x = −0.3</label>
        <p>Click the map, drag over it, or use its arrow keys to move the start.</p>
      </fieldset>
    </div>
    <h2>Four rules from the same start</h2>
    <p class="note">As many steps as above, close up and on one scale.</p>
    <div class="rules">
      ${Rprop.RULES.map((rule) => `
        <figure><canvas data-rule="${rule}" role="img"></canvas>
          <figcaption><b>${Words.METHODS[rule]}</b> <span></span></figcaption></figure>`).join("")}
    </div>
    <p class="link"><button type="button" data-do="link">Copy a link to this</button>
      <span role="status"></span></p>`;

  const find = (selector) => root.querySelector(selector);
  const findAll = (selector) => [...root.querySelectorAll(selector)];
  const map = find(".map"), says = find(".says");

  // The scene, what it is made of, and the runs as far as they were asked for.
  let scene, problem, runs;
  let timer = null, said;

  function walk(name) {
    const method = Rprop.method(name, { first: scene.first, rate: problem.bestRate });
    return Valley.walk(method, problem, [scene.x, scene.y], scene.noise);
  }

  const hasArrived = ({ loss }) => loss <= Valley.TARGET;

  /** A run up to step `t` or to its end; it is kept, so that going on costs one step. */
  function entriesOf(name, t) {
    const { steps, entries } = (runs[name] ??= { steps: walk(name), entries: [] });
    while (entries.length <= t && !(entries.length && Valley.hasEnded(entries.at(-1)))) {
      entries.push(steps.next().value);
    }
    return entries.slice(0, t + 1);
  }

  // ---- The scene and the address

  function nearest(values, x) {
    return values.reduce((best, v) => (Math.abs(v - x) < Math.abs(best - x) ? v : best));
  }

  /** A scene from the text of an address, with the defaults for what is not in it. */
  function parsed(text) {
    const given = new URLSearchParams(text);
    const read = { ...Words.SCENES[0].set, t: 0 };
    if (Object.hasOwn(Words.METHODS, given.get("method"))) read.method = given.get("method");
    for (const name of [...Object.keys(SLIDERS), "x", "y", "cliff", "near", "t"]) {
      const value = Number(given.get(name) ?? NaN);
      if (Number.isFinite(value)) read[name] = value;
    }
    for (const [name, { values }] of Object.entries(SLIDERS)) read[name] = nearest(values, read[name]);
    for (const name of ["x", "y"]) read[name] = clamp(read[name], -3.6, 3.6);
    for (const name of SWITCHES) read[name] = read[name] ? 1 : 0;
    read.t = clamp(Math.round(read.t), 0, LIMIT);
    return read;
  }

  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const isOurs = (hash) => new URLSearchParams(hash.slice(1)).has("method");

  /** Safari refuses an address that changes all the time, so it waits for a pause. */
  let writing;
  function writeAddress() {
    clearTimeout(writing);
    writing = setTimeout(() => history.replaceState(null, "", address()), 300);
  }
  const address = () => `#${new URLSearchParams(scene)}`;

  // ---- Changes

  function begin(newScene) {
    pause();
    scene = newScene;
    problem = Valley.valley(scene);
    runs = {};
    showControls();
    showCounts();
    goTo(scene.t);
  }

  /** Other settings, for the same number of steps; a run that had ended runs to its end. */
  function change(settings) {
    const ended = Valley.hasEnded(entriesOf(scene.method, scene.t).at(-1));
    begin({ ...scene, ...settings, ...(ended && { t: LIMIT }) });
  }

  function goTo(t) {
    scene.t = entriesOf(scene.method, clamp(t, 0, LIMIT)).length - 1;
    showRun();
    writeAddress();
  }

  /** Slowly at first, then faster, as a long run is seen as a whole. */
  function run() {
    const end = entriesOf(scene.method, LIMIT).length - 1;
    if (scene.t >= end) scene.t = 0;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return goTo(end);
    says.setAttribute("aria-live", "off");
    timer = setInterval(() => {
      goTo(Math.min(end, scene.t + Math.max(1, Math.floor(scene.t / 12))));
      if (scene.t >= end) pause();
    }, 90);
    find("[data-do=run]").textContent = "Pause";
  }

  function pause() {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    says.setAttribute("aria-live", "polite");
    find("[data-do=run]").textContent = "Run";
    showWords();
  }

  // ---- What is seen

  function showControls() {
    for (const [name, { values }] of Object.entries(SLIDERS)) {
      const text = show[name](scene[name]);
      find(`[name=${name}]`).value = values.indexOf(scene[name]);
      find(`[name=${name}]`).setAttribute("aria-valuetext", text);
      find(`[data-value=${name}]`).textContent = text;
    }
    for (const name of SWITCHES) find(`[name=${name}]`).checked = Boolean(scene[name]);
    find(`[name=method][value="${scene.method}"]`).checked = true;
    const current = Words.SCENES.find(({ set }) => SAME.every((name) => set[name] === scene[name]));
    Words.SCENES.forEach((one, i) =>
      find(`[data-scene="${i}"]`).setAttribute("aria-pressed", one === current)
    );
    if (current) find(".about").innerHTML = current.says;
  }

  /** One method after another, so that a slider does not wait for the slowest. */
  let counting;
  function showCounts() {
    clearTimeout(counting);
    const waiting = Object.keys(Words.METHODS);
    function next() {
      const name = waiting.shift();
      const count = Valley.count(walk(name), LIMIT);
      const output = find(`[data-count="${name}"]`);
      output.textContent = count > LIMIT ? `> ${whole(LIMIT)}` : whole(count);
      const share = Math.log10(Math.max(1, Math.min(count || 1, LIMIT))) / Math.log10(LIMIT);
      output.parentElement.querySelector("i").style.width = `${100 * share}%`;
      if (waiting.length) counting = setTimeout(next);
    }
    counting = setTimeout(next);
  }

  function showRun() {
    const entries = entriesOf(scene.method, scene.t);
    Draw.map(map, scene, entries, seenOf(entries));
    Draw.history(find(".history"), scene.method, entries);
    const last = entries.at(-1);
    find(".history").setAttribute("aria-label", describe(last));
    showRules();
    find(".status").textContent = status(entries);
    showWords();
  }

  function describe({ loss, state }) {
    const sizes = state.sizes ? `, step sizes ${state.sizes.map(Words.number).join(" and ")}` : "";
    return `Step ${whole(scene.t)}: loss ${Words.number(loss)}${sizes}`;
  }

  function status(entries) {
    const changed = entries.slice(1).flatMap(({ events }) => events ?? [])
      .filter((event) => event === "halve" || event === "undo").length;
    const share = scene.noise && entries.at(-1).events && entries.length > 20
      ? `, sign changed at ${Math.round((50 * changed) / (entries.length - 1))} %` : "";
    return `step ${whole(scene.t)}, loss ${Words.number(entries.at(-1).loss)}${share}`;
  }

  function showWords() {
    const last = entriesOf(scene.method, scene.t).at(-1);
    const arrived = hasArrived(last)
      ? ` <span><b>The loss is ${Words.power(-6)} after ${whole(scene.t)} gradients.</b></span>` : "";
    const words = Words.sentence(scene.method, last) + arrived;
    if (words !== said) says.innerHTML = said = words; // else a redrawing would be read out
  }

  const seenOf = (entries) => (scene.near ? Draw.closeUp(entries, WHOLE.reach) : WHOLE);

  /** Each rule where it is, all on the same scale. */
  function showRules() {
    const runs = Rprop.RULES.map((rule) => entriesOf(rule, scene.t));
    const windows = runs.map((entries) => Draw.closeUp(entries, WHOLE.reach));
    const reach = Math.max(...windows.map((one) => one.reach));
    Rprop.RULES.forEach((rule, i) => {
      const seen = reach < WHOLE.reach ? { ...windows[i], reach } : WHOLE;
      showRule(rule, runs[i], seen);
    });
  }

  function showRule(rule, entries, seen) {
    const canvas = find(`[data-rule="${rule}"]`);
    canvas.classList.toggle("chosen", rule === scene.method);
    Draw.map(canvas, scene, entries, seen, true);
    const undone = entries.filter(({ events }) => events?.includes("undo")).length;
    const arrived = hasArrived(entries.at(-1))
      ? `arrived after ${whole(entries.length - 1)}` : "on its way";
    const text = `${arrived}, ${whole(undone)} undone`;
    canvas.setAttribute("aria-label", text);
    canvas.parentElement.querySelector("span").textContent = text;
  }

  // ---- What is done

  const actions = {
    reset: () => { pause(); goTo(0); },
    back: () => { pause(); goTo(scene.t - 1); },
    step: () => { pause(); goTo(scene.t + 1); },
    run: () => (timer === null ? run() : pause()),
    async link() {
      history.replaceState(null, "", address());
      let done = "Copied.";
      try {
        await navigator.clipboard.writeText(location.href);
      } catch {
        done = "Copy it from the address bar: it holds all you see.";
      }
      find("[role=status]").textContent = done;
    },
  };

  root.addEventListener("click", ({ target }) => {
    const { do: action, scene: number } = target.dataset;
    if (action) actions[action]();
    if (number) begin({ ...Words.SCENES[number].set, t: 0 });
  });

  root.addEventListener("input", ({ target: { name, value, checked } }) => {
    if (name in SLIDERS) change({ [name]: SLIDERS[name].values[value] });
    else change({ [name]: SWITCHES.includes(name) ? Number(checked) : value });
  });

  function moveStart(point) {
    const [x, y] = point.map((v) => clamp(Number(v.toFixed(2)), -3.6, 3.6));
    change({ x, y });
  }

  // A finger that slides may want to scroll, so it moves the start only where it taps.
  function follow(event) {
    if (scene.near) return; // the window would follow, and the start run away
    const { toPoint } = Draw.view(map, WHOLE);
    moveStart(toPoint([event.offsetX, event.offsetY]));
  }
  map.addEventListener("click", follow);
  map.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType !== "touch") follow(event);
  });
  map.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    moveStart([scene.x + 0.1 * way[0], scene.y + 0.1 * way[1]]);
  });

  // The canvases follow their size and the theme.
  new ResizeObserver(showRunLater).observe(root);
  new MutationObserver(showRunLater).observe(document.body, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showRunLater);
  function showRunLater() {
    requestAnimationFrame(showRun);
  }

  addEventListener("hashchange", () => isOurs(location.hash) && begin(parsed(location.hash.slice(1))));
  begin(parsed(isOurs(location.hash) ? location.hash.slice(1) : ""));
})();
