"use strict";
// The HTML of the page.

const Page = (() => {
  const list = (items, html) => items.map(html).join("");
  const entries = (object, html) => list(Object.entries(object), html);

  const html = `
    <div class="scenes" role="group" aria-label="Scenes to try">
      ${list(Scene.SCENES, ({ name }, i) => `
        <button type="button" data-scene="${i}">${name}</button>`)}
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
      ${entries(Words.EVENTS, ([event, { glyph, says }]) => `
        <li><span class="cell ${event}">${glyph}</span> ${says}</li>`)}
      <li>The left half of a dot is x (or u), the right half y (or v). The cross shows both
        step sizes.</li>
    </ul>
    <div class="settings">
      <fieldset class="methods">
        <legend>Gradients until the loss is ${Words.power(-6)}</legend>
        ${entries(Scene.METHODS, ([method, name]) => `
          <label>
            <input type="radio" name="method" value="${method}">
            <span class="name">${name}</span>
            <span class="bar"><i></i></span>
            <output data-count="${method}"></output>
          </label>`)}
        <p>Gradient descent has the best rate for the valley, and Adam has 0.1. The scale is
          logarithmic.</p>
      </fieldset>
      <fieldset class="sliders">
        <legend>Valley and first step</legend>
        ${entries(Scene.SLIDERS, ([name, { label, values }]) => `
          <label>
            <span>${label} <output data-value="${name}"></output></span>
            <input type="range" name="${name}" min="0" max="${values.length - 1}" step="1">
          </label>`)}
        <label class="check"><input type="checkbox" name="cliff"> A NaN cliff, left of
          x = ${Words.number(Valley.CLIFF)}</label>
        <p>Click the map, drag over it, or use its arrow keys to move the start.</p>
      </fieldset>
    </div>
    <h2>Four rules from the same start</h2>
    <p class="note"></p>
    <div class="rules">
      ${list(Rprop.RULES, (rule) => `
        <figure>
          <canvas data-rule="${rule}" role="img"></canvas>
          <figcaption><b>${Scene.METHODS[rule]}</b> <span></span></figcaption>
        </figure>`)}
    </div>
    <p class="link">
      <button type="button" data-do="link">Copy a link to this</button>
      <span role="status"></span>
    </p>`;

  return { html };
})();
