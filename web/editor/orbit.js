/**
 * Where the camera stands: it turns around the head, never rolls, and keeps the head in the picture.
 * Nothing here touches the page.
 */

import { bounds } from "./geometry.js";

export const FIELD_OF_VIEW = 20; // degrees, vertical: a portrait lens, which does not swell the nose
const STEEPEST = 1.3; // radians up or down
const CLOSEST = 0.2;
const FARTHEST = 1.6;

/** Named views: turns in radians to the side and up. */
export const VIEWS = { front: [0, 0], half: [0.65, 0.08], side: [Math.PI / 2, 0] };

export class Orbit {
  constructor() {
    this.middle = [0, 0, 0];
    this.size = 0.15;
    this.reset();
  }

  reset() {
    [this.yaw, this.pitch] = VIEWS.front;
    this.zoom = 1;
    this.shift = [0, 0];
  }

  /** Looks at these vertices: at the face rather than at the neck. @param {Float32Array} vertices [V, 3] */
  frame(vertices) {
    const { middle, half } = bounds(vertices);
    this.middle = [middle[0], middle[1] + 0.13 * half[1], middle[2]];
    this.size = half[1];
  }

  /** @param {keyof typeof VIEWS} name */
  look(name) {
    [this.yaw, this.pitch] = VIEWS[name];
    this.shift = [0, 0];
  }

  /** @param {number} yaw @param {number} pitch radians to add */
  turn(yaw, pitch) {
    this.yaw = Math.atan2(Math.sin(this.yaw + yaw), Math.cos(this.yaw + yaw));
    this.pitch = Math.min(STEEPEST, Math.max(-STEEPEST, this.pitch + pitch));
  }

  /** @param {number} factor above 1 comes closer */
  closer(factor) {
    this.zoom = Math.min(FARTHEST, Math.max(CLOSEST, this.zoom / factor));
    if (this.zoom >= 1) this.shift = [0, 0];
  }

  /** Moves the picture by shares of its height. @param {number} right @param {number} up */
  slide(right, up) {
    const height = 2 * this.distance * Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    this.shift = this.shift.map((value, axis) => {
      const wanted = value - [right, up][axis] * height;
      return Math.min(this.size, Math.max(-this.size, wanted));
    });
  }

  /** Metres from the camera to the middle of the head. */
  get distance() {
    return (this.zoom * this.size * 1.02) / Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
  }

  /** @returns {{ position: number[], target: number[] }} metres */
  get pose() {
    const { yaw, pitch } = this;
    const right = [Math.cos(yaw), 0, -Math.sin(yaw)];
    const back = [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
    const up = [-Math.sin(yaw) * Math.sin(pitch), Math.cos(pitch), -Math.cos(yaw) * Math.sin(pitch)];
    const target = this.middle.map((value, axis) => value + this.shift[0] * right[axis] + this.shift[1] * up[axis]);
    return { position: target.map((value, axis) => value + this.distance * back[axis]), target };
  }
}
