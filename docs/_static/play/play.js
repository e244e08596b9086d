"use strict";
// The page: builds itself in #play, and shows what the scene in the address says.

(() => {
  const WHOLE = { centre: [0, 0], reach: 3.8 }; // what a map shows, if not close up
  const { SLIDERS, SWITCHES, LIMIT, clamp } = Scene;
  const { whole } = Words;

  const root = document.getElementById("play");
  root.innerHTML = Page.html;
  const find = (selector) => root.querySelector(selector);
  const map = find(".map"), says = find(".says");

  // The scene, what it is made of, and the runs as far as they were asked for.
  let scene, problem, runs;

  function walk(name) {
    const method = Rprop.method(name, { first: scene.first, rate: problem.bestRate });
    return Valley.walk(method, problem, [scene.x, scene.y], scene.noise);
  }

  /** A run up to step `t` or to its end; it is kept, so that going on costs one step. */
  function entriesOf(name, t) {
    const { steps, entries } = (runs[name] ??= { steps: walk(name), entries: [] });
    while (entries.length <= t && !(entries.length && Valley.hasEnded(entries.at(-1)))) {
      entries.push(steps.next().value);
    }
    return entries.slice(0, t + 1);
  }

  /** Safari refuses an address that changes all the time, so it waits for a pause. */
  let writing;
  const writeAddress = () => history.replaceState(null, "", `#${Scene.asText(scene)}`);
  function writeAddressSoon() {
    clearTimeout(writing);
    writing = setTimeout(writeAddress, 300);
  }

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
    writeAddressSoon();
  }

  let timer = null;

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
    for (const [name, { values, text }] of Object.entries(SLIDERS)) {
      const value = text(scene[name]);
      find(`[name=${name}]`).value = values.indexOf(scene[name]);
      find(`[name=${name}]`).setAttribute("aria-valuetext", value);
      find(`[data-value=${name}]`).textContent = value;
    }
    for (const name of SWITCHES) find(`[name=${name}]`).checked = Boolean(scene[name]);
    find(`[name=method][value="${scene.method}"]`).checked = true;
    const current = Scene.listed(scene);
    Scene.SCENES.forEach((one, i) =>
      find(`[data-scene="${i}"]`).setAttribute("aria-pressed", one === current)
    );
    if (current) find(".about").innerHTML = current.says;
  }

  /** One method after another, so that a slider does not wait for the slowest. */
  let counting;
  function showCounts() {
    clearTimeout(counting);
    const waiting = Object.keys(Scene.METHODS);
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
    ValleyMap.draw(map, scene, entries, seenOf(entries));
    RunHistory.draw(find(".history"), scene.method, entries);
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
    const events = entries.flatMap(({ events }) => events ?? []);
    const changed = events.filter((event) => event === "halve" || event === "undo").length;
    const share = scene.noise && events.length > 40
      ? `, sign changed at ${Math.round((100 * changed) / events.length)} %`
      : "";
    return `step ${whole(scene.t)}, loss ${Words.number(entries.at(-1).loss)}${share}`;
  }

  const hasArrived = ({ loss }) => loss <= Valley.TARGET;

  let said;
  function showWords() {
    const last = entriesOf(scene.method, scene.t).at(-1);
    const arrived = hasArrived(last)
      ? ` <span><b>The loss is ${Words.power(-6)} after ${whole(scene.t)} gradients.</b></span>`
      : "";
    const words = Words.sentence(scene.method, last) + arrived;
    if (words !== said) says.innerHTML = said = words; // else a redrawing would be read out
  }

  const seenOf = (entries) => (scene.near ? ValleyMap.closeUp(entries, WHOLE.reach) : WHOLE);

  /** Each rule where it is, all on the same scale. */
  function showRules() {
    const runs = Rprop.RULES.map((rule) => entriesOf(rule, scene.t));
    const windows = runs.map((entries) => ValleyMap.closeUp(entries, WHOLE.reach));
    const reach = Math.max(...windows.map((one) => one.reach));
    find(".note").textContent = `As many steps as above, in maps ${Words.number(2 * reach)} wide.`;
    Rprop.RULES.forEach((rule, i) => {
      const seen = reach < WHOLE.reach ? { ...windows[i], reach } : WHOLE;
      showRule(rule, runs[i], seen);
    });
  }

  function showRule(rule, entries, seen) {
    const canvas = find(`[data-rule="${rule}"]`);
    canvas.classList.toggle("chosen", rule === scene.method);
    ValleyMap.draw(canvas, scene, entries, seen, true);
    const undone = entries.filter(({ events }) => events?.includes("undo")).length;
    const arrived = hasArrived(entries.at(-1))
      ? `arrived after ${whole(entries.length - 1)}`
      : "on its way";
    const text = `${arrived}, ${whole(undone)} undone`;
    canvas.setAttribute("aria-label", `${rule}: ${text}`);
    canvas.parentElement.querySelector("span").textContent = text;
  }

  // ---- What is done

  const actions = {
    reset: () => { pause(); goTo(0); },
    back: () => { pause(); goTo(scene.t - 1); },
    step: () => { pause(); goTo(scene.t + 1); },
    run: () => (timer === null ? run() : pause()),
    async link() {
      writeAddress();
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
    if (number) begin({ ...Scene.SCENES[number].set });
  });

  root.addEventListener("input", ({ target: { name, value, checked } }) => {
    if (name in SLIDERS) change({ [name]: SLIDERS[name].values[value] });
    else change({ [name]: SWITCHES.includes(name) ? Number(checked) : value });
  });

  function moveStart(point) {
    const [x, y] = point.map((v) => clamp(Number(v.toFixed(2)), -Scene.FARTHEST, Scene.FARTHEST));
    change({ x, y });
  }

  // A finger that slides may want to scroll, so it moves the start only where it taps.
  function follow(event) {
    if (scene.near) return; // the window would follow the start
    const { toPoint } = ValleyMap.view(map, WHOLE);
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

  const fromAddress = () => location.hash.slice(1);
  addEventListener("hashchange", () => {
    if (Scene.isScene(fromAddress())) begin(Scene.parsed(fromAddress()));
  });
  begin(Scene.parsed(fromAddress()));
  clearTimeout(writing); // nothing has changed yet
})();
