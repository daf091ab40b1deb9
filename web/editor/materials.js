/**
 * What the head is made of: clay in studio light, eyes that look, a glow for the original, and lines for the mesh.
 *
 * The light is drawn once into a small picture of a lit ball (a "matcap"), looked up by the normal: one texture read
 * per pixel, which stays smooth where a GPU is drawn by the processor.
 */

const LIGHTS = [
  // direction (right, up, towards the camera), colour, how far it wraps around
  { from: [-0.5, 0.62, 0.6], colour: [0.86, 0.8, 0.75], wrap: 0.25 },
  { from: [0.85, 0.05, 0.35], colour: [0.2, 0.24, 0.3], wrap: 0.4 },
  { from: [0.3, -0.85, 0.2], colour: [0.12, 0.09, 0.085], wrap: 0.4 },
];
const CLAY = [0.8, 0.72, 0.675];
const RIM = { from: [0.75, 0.5, -0.42], colour: [0.5, 0.6, 0.72] };
const BALL = 128;

/** @param {object} three */
export function litBall(three) {
  const pixels = new Uint8Array(BALL * BALL * 4);
  for (let row = 0; row < BALL; row++) {
    for (let column = 0; column < BALL; column++) {
      const x = ((column + 0.5) / BALL) * 2 - 1,
        y = ((row + 0.5) / BALL) * 2 - 1;
      const away = Math.min(1, Math.hypot(x, y)),
        scale = away / (Math.hypot(x, y) || 1);
      const normal = [x * scale, y * scale, Math.sqrt(1 - away * away)];
      pixels.set([...lit(normal).map((value) => 255 * Math.min(1, value)), 255], 4 * (row * BALL + column));
    }
  }
  const texture = new three.DataTexture(pixels, BALL, BALL);
  texture.minFilter = texture.magFilter = three.LinearFilter;
  texture.needsUpdate = true;
  return texture;
}

function lit(normal) {
  const dot = (a) => a[0] * normal[0] + a[1] * normal[1] + a[2] * normal[2];
  const grazing = (1 - normal[2]) ** 2.5;
  const colour = CLAY.map((clay, channel) => {
    const soft = LIGHTS.reduce((sum, { from, colour: light, wrap }) => {
      return sum + light[channel] * Math.max(0, (dot(unit(from)) + wrap) / (1 + wrap)) ** 1.2;
    }, 0.06);
    const rim = RIM.colour[channel] * Math.max(0, dot(unit(RIM.from)) + 0.25) * grazing;
    return clay * soft + rim;
  });
  const half = unit([LIGHTS[0].from[0], LIGHTS[0].from[1], LIGHTS[0].from[2] + 1]);
  const gloss = 0.1 * Math.max(0, dot(half)) ** 18;
  return colour.map((value) => (value + gloss) ** (1 / 1.25)); // a gentle curve into display values
}

function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

const CLAY_VERTEX = `
  attribute vec3 eye;
  attribute float tint;
  varying vec3 vNormal;
  varying vec3 vEye;
  varying float vTint;
  void main() {
    vNormal = normalMatrix * normal;
    vEye = eye;
    vTint = tint;
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  }`;

const CLAY_FRAGMENT = `
  uniform sampler2D ball;
  uniform vec3 accent;
  uniform float glow;
  varying vec3 vNormal;
  varying vec3 vEye;
  varying float vTint;
  void main() {
    vec3 n = normalize(vNormal);
    vec3 colour = texture2D(ball, 0.5 + 0.495 * n.xy).rgb;
    float eyeball = length(vEye);
    if (eyeball > 0.5) {
      float ahead = vEye.z / eyeball; // cosine of the angle from where the eye looks
      vec3 white = colour * vec3(1.12, 1.17, 1.22);
      vec3 iris = mix(vec3(0.2, 0.17, 0.15), vec3(0.42, 0.36, 0.30), smoothstep(0.896, 0.936, ahead));
      iris = mix(iris, vec3(0.035), smoothstep(0.978, 0.986, ahead));
      colour = mix(white, iris * (0.35 + colour), smoothstep(0.882, 0.905, ahead));
      colour += 0.75 * smoothstep(0.985, 0.995, dot(n, normalize(vec3(-0.28, 0.34, 0.9))));
    }
    colour = mix(colour, accent * (0.45 + 0.75 * dot(colour, vec3(0.333))), glow * vTint);
    gl_FragColor = vec4(colour, 1.0);
  }`;

const GHOST_VERTEX = `
  varying vec3 vNormal;
  varying vec3 vView;
  void main() {
    vec4 view = modelViewMatrix * vec4(position, 1.0);
    vNormal = normalMatrix * normal;
    vView = -view.xyz;
    gl_Position = projectionMatrix * view;
  }`;

const GHOST_FRAGMENT = `
  uniform vec3 accent;
  varying vec3 vNormal;
  varying vec3 vView;
  void main() {
    float facing = abs(dot(normalize(vNormal), normalize(vView)));
    gl_FragColor = vec4(accent, 0.05 + 0.8 * pow(1.0 - facing, 3.0));
  }`;

const LINE_FRAGMENT = `
  uniform vec3 accent;
  void main() { gl_FragColor = vec4(accent, 0.34); }`;

const LINE_VERTEX = `
  void main() {
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
    gl_Position.z -= 0.0004 * gl_Position.w; // before the surface that they lie on
  }`;

/** Everything that heads are drawn with. @param {object} three */
export class Materials {
  constructor(three) {
    const accent = { value: new three.Color(0.3, 0.62, 1.0) };
    const shader = (vertexShader, fragmentShader, options) =>
      new three.ShaderMaterial({ vertexShader, fragmentShader, ...options });
    this.ball = litBall(three);
    this.clay = shader(CLAY_VERTEX, CLAY_FRAGMENT, {
      uniforms: { ball: { value: this.ball }, accent, glow: { value: 0 } },
    });
    this.ghost = shader(GHOST_VERTEX, GHOST_FRAGMENT, { uniforms: { accent }, transparent: true, depthWrite: false });
    this.hull = shader(GHOST_VERTEX, GHOST_FRAGMENT, { uniforms: { accent }, colorWrite: false });
    this.lines = shader(LINE_VERTEX, LINE_FRAGMENT, {
      uniforms: { accent: { value: new three.Color(0.05, 0.08, 0.12) } },
      transparent: true,
      depthWrite: false,
    });
  }

  dispose() {
    for (const each of [this.ball, this.clay, this.ghost, this.hull, this.lines]) each.dispose();
  }
}
