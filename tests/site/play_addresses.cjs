"use strict";
// node play_addresses.cjs FOLDER, with addresses as JSON on the standard input: the scene
// of the page "Play with Rprop" that each of them holds, and the address of that scene.

const fs = require("fs");
const path = require("path");

const Scene = require(path.resolve(process.argv[2], "scene.js"));

function read(address) {
  const scene = Scene.parsed(address);
  return { scene, address: Scene.asText(scene), isScene: Scene.isScene(address) };
}

console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(read)));
