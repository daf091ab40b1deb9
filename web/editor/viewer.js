/**
 * The 3D picture of one head. It draws only when something changed, with the renderer that all editors share.
 */

import { eyeDirections, vertexNormals } from "./geometry.js";
import { Materials } from "./materials.js";
import { FIELD_OF_VIEW, Orbit } from "./orbit.js";
import { pixelsPerMetre, toPixels } from "./project.js";
import { drawInto } from "./renderer.js";
import { pickTriangle } from "./solve.js";

const LARGEST = 1600; // pixels of a side of the canvas; beyond that the picture is scaled up
const FINE = 2; // drawn pixels per pixel of the canvas, each way
const SLOW = 7; // milliseconds; where drawing takes longer (no GPU), what moves is drawn coarsely
const REST = 120; // milliseconds without a change after which it is drawn finely

export class FaceViewer {
  /**
   * @param {object} three the module
   * @param {HTMLCanvasElement} canvas
   * @param {(error: Error) => void} [onProblem] when the browser cannot draw
   */
  constructor(three, canvas, onProblem = () => {}) {
    this.canvas = canvas;
    this.orbit = new Orbit();
    this.show = { lines: false, ghost: false, original: false, wipe: null };
    this.frames = 0;
    this._cost = 0; // milliseconds of a fine frame, averaged
    this._three = three;
    this._onProblem = onProblem;
    this._materials = new Materials(three);
    this._camera = new three.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 10);
    this._scene = new three.Scene();
    this._ghostScene = new three.Scene();
    this._resize = new ResizeObserver(() => this.requestDraw());
    this._resize.observe(canvas);
  }

  /** @param {import("./geometry.js").Head} head */
  setHead(head) {
    this._clear();
    this.head = head;
    const three = this._three;
    const attribute = (array) => new three.BufferAttribute(array, 3);
    const shared = {
      eye: attribute(eyeDirections(head)),
      tint: new three.BufferAttribute(new Float32Array(head.vertexCount), 1),
    };
    const faces = new three.BufferAttribute(head.faces, 1);
    this._tint = shared.tint;
    const shape = (vertices) => {
      const geometry = new three.BufferGeometry();
      geometry.setIndex(faces);
      const normal = attribute(vertexNormals(vertices, head.faces));
      for (const [name, part] of Object.entries({ position: attribute(vertices), normal, ...shared })) {
        geometry.setAttribute(name, part);
      }
      return geometry;
    };
    this._original = shape(head.base);
    this._edited = shape(head.base.slice());
    for (const name of ["position", "normal"]) this._edited.attributes[name].setUsage(three.DynamicDrawUsage);
    this._meshes = {
      edited: this._add(three.Mesh, this._edited, "clay"),
      original: this._add(three.Mesh, this._original, "clay"),
      hull: this._add(three.Mesh, this._original, "hull", this._ghostScene),
      ghost: this._add(three.Mesh, this._original, "ghost", this._ghostScene),
    };
    this.orbit.frame(head.base);
    this.requestDraw();
  }

  /** The edited vertices [V, 3]: written by the owner, who calls `moved` afterwards. */
  get vertices() {
    return this._edited.attributes.position.array;
  }

  /** Takes over what the owner wrote into `vertices`. */
  moved() {
    const { position, normal } = this._edited.attributes;
    vertexNormals(position.array, this.head.faces, normal.array);
    position.needsUpdate = normal.needsUpdate = true;
    this.requestDraw();
  }

  /** Colours a part of the face. @param {Float32Array | null} strength [V] in 0..1 */
  highlight(strength) {
    if (strength) {
      this._tint.array.set(strength);
      this._tint.needsUpdate = true;
    }
    this._materials.clay.uniforms.glow.value = strength ? 0.6 : 0;
    this.requestDraw();
  }

  requestDraw() {
    this._request ??= requestAnimationFrame(() => {
      this._request = null;
      const slow = this._cost > SLOW;
      this.draw(slow ? 1 : FINE);
      clearTimeout(this._settle);
      if (slow) this._settle = setTimeout(() => this.draw(), REST);
    });
  }

  /** Draws now. @param {number} [finer] drawn pixels per pixel of the canvas, each way */
  draw(finer = FINE) {
    if (!this.head || !this._fit()) return;
    const start = performance.now();
    try {
      drawInto(this._three, this.canvas, finer, (renderer, width, height) => this._drawScene(renderer, width, height));
    } catch (error) {
      this._onProblem(error);
    }
    this.frames++;
    if (finer > 1 && this.frames > 1) {
      // the first frame compiles the shaders
      this._cost = 0.6 * this._cost + 0.4 * (performance.now() - start);
    }
  }

  /**
   * What of the edited face lies under a point of the page.
   * @param {number} x pixels from the canvas' left edge, as the page shows it
   * @param {number} y pixels from its upper edge
   */
  pick(x, y) {
    const { width, height } = this.canvas.getBoundingClientRect();
    this._pixels = toPixels(this.vertices, this._aim(width, height), width, height, this._pixels);
    return pickTriangle(this._pixels, this.head.faces, x, y);
  }

  /** [2, 3] pixels of the page per metre at a picked point. */
  pixelsPerMetre({ corners, shares }) {
    const { width, height } = this.canvas.getBoundingClientRect();
    const point = [0, 1, 2].map((axis) => {
      return corners.reduce((sum, vertex, n) => sum + shares[n] * this.vertices[3 * vertex + axis], 0);
    });
    return pixelsPerMetre(point, this._aim(width, height), width, height);
  }

  destroy() {
    cancelAnimationFrame(this._request);
    clearTimeout(this._settle);
    this._request = -1; // no further frames
    this._resize.disconnect();
    this._clear();
    this._materials.dispose();
  }

  _clear() {
    for (const mesh of Object.values(this._meshes ?? {})) {
      mesh.removeFromParent();
      mesh.geometry.dispose();
    }
    this._meshes = this._pixels = undefined;
  }

  _add(Kind, geometry, material, scene = this._scene) {
    const mesh = new Kind(geometry, this._materials[material]);
    mesh.frustumCulled = false; // the head changes; it is always in the picture
    scene.add(mesh);
    return mesh;
  }

  /** The mesh's lines, made when they are first asked for. */
  _addLines() {
    const { BufferAttribute, BufferGeometry, LineSegments } = this._three;
    const index = new BufferAttribute(edges(this.head.faces), 1);
    const along = (geometry) => {
      const lines = new BufferGeometry();
      lines.setIndex(index);
      lines.setAttribute("position", geometry.attributes.position);
      return this._add(LineSegments, lines, "lines");
    };
    Object.assign(this._meshes, { lines: along(this._edited), originalLines: along(this._original) });
  }

  /** Gives the canvas as many pixels as the screen shows of it. @returns {boolean} whether it is shown at all */
  _fit() {
    const box = this.canvas.getBoundingClientRect();
    const scale = Math.min(window.devicePixelRatio || 1, LARGEST / Math.max(box.width, box.height, 1));
    const width = Math.round(box.width * scale),
      height = Math.round(box.height * scale);
    if (!width || !height) return false;
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    return true;
  }

  _aim(width, height) {
    const { position, target } = this.orbit.pose;
    const { distance, size } = this.orbit;
    Object.assign(this._camera, {
      aspect: width / height,
      near: Math.max(0.005, distance - 3 * size),
      far: distance + 4 * size,
    });
    this._camera.position.set(...position);
    this._camera.lookAt(...target);
    this._camera.updateProjectionMatrix();
    this._camera.updateMatrixWorld();
    const { projectionMatrix, matrixWorldInverse } = this._camera;
    return projectionMatrix.clone().multiply(matrixWorldInverse).elements;
  }

  _drawScene(renderer, width, height) {
    this._aim(width, height);
    const { wipe, original } = this.show;
    if (wipe === null || original) return this._drawSide(renderer, original);
    const split = Math.round(wipe * width);
    const side = (from, to, before) => {
      if (from === to) return;
      renderer.setScissor(from, 0, to - from, height);
      this._drawSide(renderer, before);
    };
    side(0, split, true);
    side(split, width, false);
  }

  _drawSide(renderer, original) {
    if (this.show.lines && !this._meshes.lines) this._addLines();
    const { edited, original: before, lines, originalLines } = this._meshes;
    edited.visible = !original;
    before.visible = original;
    if (lines) {
      lines.visible = this.show.lines && !original;
      originalLines.visible = this.show.lines && original;
    }
    renderer.render(this._scene, this._camera);
    if (!this.show.ghost || original) return;
    renderer.clearDepth(); // seen through the face
    renderer.render(this._ghostScene, this._camera);
  }
}

/** Every edge of the mesh once. @param {Uint16Array | Uint32Array} faces */
function edges(faces) {
  const seen = new Set();
  const found = [];
  for (let f = 0; f < faces.length; f += 3) {
    for (let corner = 0; corner < 3; corner++) {
      const from = faces[f + corner],
        to = faces[f + ((corner + 1) % 3)];
      const key = Math.min(from, to) * 2 ** 26 + Math.max(from, to);
      if (!seen.has(key)) found.push(from, to);
      seen.add(key);
    }
  }
  return new faces.constructor(found);
}
