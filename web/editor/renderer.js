/**
 * The one WebGL renderer that all editors of a page share: a browser keeps only 16 WebGL contexts alive, and a
 * workflow may hold more editors than that. Each editor draws here and copies the picture to its own 2D canvas.
 */

import { t } from "../words/words.js";

let shared = null; // made when the first editor draws, made anew when the browser takes the context away

/** Loads three.js once, and only when an editor needs it. */
export function loadThree() {
  return import("../lib/three-0.180.0.module.min.mjs");
}

/**
 * Draws into the shared canvas and copies it to `canvas`. It gets the size that is drawn, since all of it is copied
 * out of the graphics memory.
 * @param {object} three the module
 * @param {HTMLCanvasElement} canvas
 * @param {number} finer how many times as many pixels are drawn each way as the canvas has: smooth edges
 * @param {(renderer: object, width: number, height: number) => void} draw
 * @throws {Error} when the browser has no WebGL2
 */
export function drawInto(three, canvas, finer, draw) {
  const [width, height] = [canvas.width, canvas.height].map((side) => Math.round(side * finer));
  shared ??= makeRenderer(three);
  const { renderer } = shared;
  const whole = renderer.domElement;
  if (whole.width !== width || whole.height !== height) renderer.setSize(width, height, false);
  renderer.setViewport(0, 0, width, height);
  renderer.setScissor(0, 0, width, height);
  renderer.clear();
  draw(renderer, width, height);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
}

function makeRenderer(three) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2", { alpha: true, antialias: false, powerPreference: "high-performance" });
  if (!context) {
    throw new Error(t("This browser shows no WebGL2, which the 3D face needs: switch on hardware acceleration."));
  }
  const renderer = new three.WebGLRenderer({ canvas, context });
  renderer.autoClear = false;
  renderer.setScissorTest(true);
  renderer.setClearColor(0x000000, 0);
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();
    shared = null; // the next frame makes another one
    renderer.dispose();
  });
  return { renderer };
}
