"use strict";
// node play_runs.cjs FOLDER, with scenes as JSON on the standard input: where a method of
// the page "Play with Rprop" is after each step, and how many gradients it takes.

const fs = require("fs");
const path = require("path");

const [folder] = process.argv.slice(2);
const Rprop = require(path.resolve(folder, "rprop.js"));
const Valley = require(path.resolve(folder, "valley.js"));

function run({ method, start, first, steps, limit, ...scene }) {
  const valley = Valley.valley(scene);
  const walk = () =>
    Valley.walk(Rprop.method(method, { first, rate: valley.bestRate }), valley, start);
  const path = [];
  for (const { point } of walk()) {
    if (path.push(point) > steps) break;
  }
  return { path, count: Valley.count(walk(), limit) };
}

console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(run)));
