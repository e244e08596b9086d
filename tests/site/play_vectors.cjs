"use strict";
// node play_vectors.cjs RPROP_JS VECTORS...: the rules of the page "Play with Rprop" against
// the conformance vectors, bit for bit. It prints the first step that differs, and fails.
//
// A product of two float32 is exact in double precision, so Math.fround rounds it as
// float32 arithmetic does.

const fs = require("fs");
const path = require("path");

const [script, ...files] = process.argv.slice(2);
const { rprop } = require(path.resolve(script));

const NAMED = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const value = (x) => NAMED[x] ?? x;
const areEqual = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

/** What differs in a step of a case; nothing where all is as it should be. */
function* differences({ rule }, { dtype, hyperparameters, steps }) {
  const round = dtype === "float32" ? Math.fround : (x) => x;
  const settings = Object.entries(hyperparameters).map(([name, x]) => [name, value(x)]);
  const method = rprop(rule, Object.fromEntries(settings), round);
  let state = method.start(steps[0].sign.length);
  for (const [i, step] of steps.entries()) {
    const loss = step.loss === null ? null : value(step.loss);
    const found = method.step(state, step.gradient.map(value), loss);
    state = found.state;
    const got = { update: found.moves, step_size: state.sizes, sign: state.signs };
    for (const [name, numbers] of Object.entries(got)) {
      if (!areEqual(numbers, step[name])) {
        yield `step ${i}: ${name} is ${numbers}, should be ${step[name]}`;
      }
    }
  }
}

let count = 0;
for (const file of files) {
  const vectors = JSON.parse(fs.readFileSync(file, "utf8"));
  for (const kase of vectors.cases) {
    for (const difference of differences(vectors, kase)) {
      console.error(`${path.basename(file)}: ${kase.name}: ${difference}`);
      process.exit(1);
    }
    count += kase.steps.length;
  }
}
console.log(`${count} steps as in ${files.length} files`);
