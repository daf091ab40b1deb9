/** How the editor looks: ComfyUI's colours where it defines them, compact, legible from 270 pixels on. */

const ID = "fantasyid-editor-style";

const STYLE = `
.fantasyid-editor {
  --fid-back: var(--comfy-menu-bg, #1f2024);
  --fid-field: var(--comfy-input-bg, #2b2d32);
  --fid-text: var(--input-text, #e3e4e8);
  --fid-dim: var(--descrip-text, #9a9da6);
  --fid-line: var(--border-color, #43464e);
  --fid-accent: #5aa2ff;
  --fid-warp: #e0a458;
  position: relative;
  box-sizing: border-box;
  width: 100%;
  height: 100%;
  min-width: 0;
  min-height: 540px;
  container-type: inline-size;
  color: var(--fid-text);
  font: 12px/1.3 Inter, system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
  user-select: none;
  outline: none;
}
.fantasyid-editor *, .fantasyid-editor *::before { box-sizing: border-box; }
.fantasyid-editor [hidden] { display: none !important; }
.fantasyid-editor :where(button, input, textarea) { font: inherit; color: inherit; margin: 0; }
.fantasyid-editor :where(button) { background: none; border: 0; padding: 0; cursor: pointer; }
.fantasyid-editor :where(button:disabled) { opacity: .35; cursor: default; }
.fantasyid-editor :where(svg) { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 1.4; stroke-linecap: round; stroke-linejoin: round; display: block; }
.fantasyid-editor :where(button, input, textarea, .fid-stage):focus-visible { outline: 2px solid var(--fid-accent); outline-offset: -2px; }

.fid-frame { position: absolute; inset: 0; display: flex; flex-direction: column; background: var(--fid-back); border: 1px solid var(--fid-line); border-radius: 8px; overflow: hidden; }
.fid-toolbar { position: relative; display: flex; align-items: center; gap: 2px; flex: none; height: 32px; padding: 0 5px; border-bottom: 1px solid var(--fid-line); }
.fid-space { flex: 1; }
.fid-button { display: flex; align-items: center; gap: 5px; height: 24px; padding: 0 5px; border-radius: 5px; color: var(--fid-dim); }
.fid-button:hover:not(:disabled), .fid-button[aria-expanded=true] { background: var(--fid-field); color: var(--fid-text); }
.fid-slots { display: flex; margin-left: 6px; border: 1px solid var(--fid-line); border-radius: 5px; overflow: hidden; }
.fid-slot { min-width: 22px; padding: 0 5px; height: 20px; color: var(--fid-dim); font-weight: 600; font-size: 11px; }
.fid-slot[aria-pressed=true] { background: var(--fid-accent); color: #0b1524; }

.fid-body { display: flex; flex-direction: column; flex: 1; min-height: 0; }
.fid-stage { position: relative; flex: 1 1 54%; min-height: 220px; background: radial-gradient(ellipse at 50% 38%, #474b54 0%, #2a2c32 58%, #1b1c20 100%); overflow: hidden; }
.fid-canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; }
.fid-canvas:active { cursor: grabbing; }
.fid-views { position: absolute; left: 7px; top: 7px; display: flex; gap: 1px; border-radius: 6px; overflow: hidden; }
.fid-view { min-width: 24px; height: 22px; padding: 0 7px; background: #0006; color: #d5d8de; font-size: 11px; }
.fid-tools { position: absolute; right: 7px; top: 7px; display: flex; flex-direction: column; gap: 1px; border-radius: 6px; overflow: hidden; }
.fid-tool { width: 26px; height: 26px; display: grid; place-items: center; background: #0006; color: #d5d8de; }
:is(.fid-tool, .fid-view):hover { background: #000a; color: #fff; }
.fid-tool[aria-pressed=true] { background: var(--fid-accent); color: #0b1524; }
.fid-under:empty { display: none; }
.fid-under { position: absolute; left: 50%; bottom: 6px; max-width: calc(100% - 16px); transform: translateX(-50%); padding: 2px 9px; border-radius: 9px; background: #0007; text-align: center; font-size: 11px; color: #fff; text-shadow: 0 1px 3px #000c; pointer-events: none; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.fid-message { position: absolute; inset: 0; display: grid; place-items: center; padding: 24px; text-align: center; color: #c3c7cf; pointer-events: none; }
.fid-wipe { position: absolute; top: 0; bottom: 0; width: 17px; margin-left: -8px; cursor: ew-resize; touch-action: none; }
.fid-wipe::before { content: ""; position: absolute; left: 8px; top: 0; bottom: 0; width: 1px; background: #fff; box-shadow: 0 0 4px #0009; }
.fid-wipe::after { content: ""; position: absolute; left: 2px; top: 50%; width: 13px; height: 26px; margin-top: -13px; border-radius: 7px; background: #fff; box-shadow: 0 1px 4px #0009; }
.fid-wipe span { position: absolute; top: 38px; font-size: 10px; color: #fff; text-shadow: 0 1px 3px #000c; pointer-events: none; }
.fid-wipe span:first-child { right: 16px; }
.fid-wipe span:last-child { left: 16px; }

.fid-side { display: flex; flex-direction: column; flex: 1 1 46%; min-height: 200px; min-width: 0; border-top: 1px solid var(--fid-line); }
.fid-panel { display: flex; flex: 1; min-height: 0; }
.fid-rail { flex: none; display: flex; flex-direction: column; width: 94px; padding: 3px 0; overflow-y: auto; scrollbar-width: none; background: #0002; border-right: 1px solid var(--fid-line); }
.fid-tab { position: relative; flex: 1 1 20px; min-height: 16px; max-height: 22px; width: 100%; padding: 0 4px 0 11px; text-align: left; font-size: 11px; color: var(--fid-dim); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.fid-tab:hover { color: var(--fid-text); }
.fid-tab[aria-current=true] { color: var(--fid-text); background: var(--fid-field); box-shadow: inset 2px 0 var(--fid-accent); }
.fid-tab.fid-changed::before { content: ""; position: absolute; left: 4px; top: calc(50% - 2px); width: 4px; height: 4px; border-radius: 50%; background: var(--fid-accent); }
.fid-list { position: relative; flex: 1; min-width: 0; overflow-y: auto; scroll-padding-top: 22px; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--fid-line) transparent; padding-bottom: 6px; }
.fid-group header { position: sticky; top: 0; z-index: 1; display: flex; align-items: center; justify-content: space-between; height: 22px; padding: 0 9px; background: var(--fid-back); color: var(--fid-dim); font-size: 10px; font-weight: 600; letter-spacing: .05em; text-transform: uppercase; }
.fid-group-reset { font-size: 10px; color: var(--fid-dim); }
.fid-group-reset:hover { color: var(--fid-text); }

.fid-slider { display: grid; grid-template-columns: 112px minmax(60px, 1fr) 42px 18px 18px; align-items: center; height: 25px; padding: 0 5px 0 9px; gap: 3px; }
.fid-slider:hover, .fid-slider:focus-within { background: #fff1; }
.fid-slider.fid-marked { background: color-mix(in srgb, var(--fid-accent) 17%, transparent); }
.fid-label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--fid-dim); }
.fid-changed .fid-label, .fid-slider:hover .fid-label, .fid-marked .fid-label { color: var(--fid-text); }
.fid-track { position: relative; height: 100%; min-width: 0; padding: 0 4px; }
.fid-range { -webkit-appearance: none; appearance: none; display: block; width: 100%; height: 100%; background: none; cursor: ew-resize; border-radius: 4px; }
.fid-range::-webkit-slider-runnable-track { height: 4px; border-radius: 2px; background:
  linear-gradient(90deg, transparent calc(var(--zero) - .5px), var(--fid-dim) 0, var(--fid-dim) calc(var(--zero) + .5px), transparent 0),
  linear-gradient(90deg, transparent var(--from), var(--fid-accent) 0, var(--fid-accent) var(--to), transparent 0), #0000004d; }
.fid-range::-webkit-slider-thumb { -webkit-appearance: none; width: 11px; height: 11px; margin-top: -3.5px; border: 0; border-radius: 50%; background: #c9ccd4; box-shadow: 0 1px 2px #0008; }
.fid-uneven .fid-range::-webkit-slider-runnable-track { background:
  linear-gradient(90deg, transparent calc(var(--left) - 1px), #fff 0, #fff calc(var(--left) + 1px), transparent 0),
  linear-gradient(90deg, transparent calc(var(--right) - 1px), #fff 0, #fff calc(var(--right) + 1px), transparent 0),
  linear-gradient(90deg, transparent var(--from), var(--fid-accent) 0, var(--fid-accent) var(--to), transparent 0), #0000004d; }
.fid-uneven .fid-number { font-style: italic; }
.fid-range::-moz-range-track { height: 4px; border-radius: 2px; background:
  linear-gradient(90deg, transparent var(--from), var(--fid-accent) 0, var(--fid-accent) var(--to), transparent 0), #0000004d; }
.fid-range::-moz-range-thumb { width: 11px; height: 11px; border: 0; border-radius: 50%; background: #c9ccd4; }
.fid-slider:hover .fid-range::-webkit-slider-thumb, .fid-range:focus-visible::-webkit-slider-thumb { background: #fff; }
.fid-number { width: 100%; height: 19px; padding: 0 4px; text-align: right; font-variant-numeric: tabular-nums; font-size: 11px; background: none; border: 1px solid transparent; border-radius: 4px; color: var(--fid-dim); }
.fid-changed .fid-number { color: var(--fid-text); }
.fid-number:hover, .fid-number:focus { background: var(--fid-field); border-color: var(--fid-line); user-select: text; }
.fid-mini { width: 18px; height: 20px; display: grid; place-items: center; border-radius: 4px; color: var(--fid-dim); opacity: 0; }
.fid-mini svg { width: 13px; height: 13px; }
.fid-mini:hover:not(:disabled) { color: var(--fid-text); background: var(--fid-field); }
.fid-slider:is(:hover, :focus-within) .fid-mini:not(:disabled), .fid-chip .fid-mini, .fid-changed .fid-reset, .fid-pinned .fid-pin { opacity: 1; }
.fid-pinned .fid-pin { color: var(--fid-accent); }
.fid-pinned .fid-pin svg { fill: currentColor; }
.fid-effect { position: absolute; left: 4px; right: 4px; bottom: 2px; height: 4px; }
.fid-effect i { display: block; height: 1.5px; margin-bottom: 1px; min-width: 0; border-radius: 1px; background: var(--fid-accent); opacity: .75; }
.fid-effect i:last-child { background: var(--fid-warp); }
.fid-without-effect :is(.fid-label, .fid-range) { opacity: .4; }

.fid-status { flex: none; max-height: 46px; overflow-y: auto; scrollbar-width: thin; padding: 4px 9px; border-top: 1px solid var(--fid-line); font-size: 11px; color: var(--fid-dim); user-select: text; }
.fid-plausible { display: flex; align-items: center; gap: 6px; flex: none; padding: 4px 9px; border-top: 1px solid var(--fid-line); color: var(--fid-dim); cursor: pointer; }
.fid-plausible input { accent-color: var(--fid-accent); }
.fid-legend { display: flex; gap: 4px 12px; flex-wrap: wrap; flex: none; padding: 4px 9px 0; border-top: 1px solid var(--fid-line); font-size: 10.5px; color: var(--fid-dim); }
.fid-legend + .fid-status { border-top: 0; }
.fid-legend i { display: inline-block; width: 12px; height: 2px; margin-right: 5px; vertical-align: middle; background: var(--fid-accent); }
.fid-legend span:last-child i { background: var(--fid-warp); }
.fid-popover { position: absolute; z-index: 5; top: 34px; right: 5px; width: min(300px, calc(100cqw - 12px)); padding: 10px; display: flex; flex-direction: column; gap: 8px; background: var(--fid-field); border: 1px solid var(--fid-line); border-radius: 8px; box-shadow: 0 8px 24px #000a; }
.fid-popover p { margin: 0; font-size: 11px; color: var(--fid-dim); }
.fid-popover :is(input[type=text], textarea) { flex: 1; min-width: 0; width: 100%; padding: 4px 7px; background: var(--fid-back); border: 1px solid var(--fid-line); border-radius: 5px; user-select: text; }
.fid-popover textarea { display: block; margin-top: 4px; resize: none; font: 10.5px/1.35 ui-monospace, Menlo, Consolas, monospace; color: var(--fid-text); }
.fid-share { color: var(--fid-dim); font-size: 11px; }
.fid-row { display: flex; align-items: center; gap: 6px; }
.fid-row output { width: 38px; text-align: right; font-variant-numeric: tabular-nums; }
.fid-plain-range { flex: 1; min-width: 0; accent-color: var(--fid-accent); }
.fid-wide, .fid-command { display: flex; align-items: center; justify-content: center; gap: 6px; height: 26px; padding: 0 8px; border-radius: 5px; background: var(--fid-back); border: 1px solid var(--fid-line); }
.fid-command { flex: 1 1 0; padding: 0 5px; }
.fid-row input + .fid-command { flex: none; padding: 0 10px; }
.fid-command svg { width: 13px; height: 13px; }
:is(.fid-wide, .fid-command, .fid-chip):hover { border-color: var(--fid-accent); }
.fid-presets { display: flex; flex-wrap: wrap; gap: 4px; max-height: 132px; overflow-y: auto; scrollbar-width: thin; }
.fid-chip { display: flex; max-width: 100%; border: 1px solid var(--fid-line); border-radius: 11px; background: var(--fid-back); overflow: hidden; }
.fid-preset { height: 21px; padding: 0 9px; font-size: 11px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.fid-mine .fid-preset { color: var(--fid-accent); padding-right: 2px; }

@container (min-width: 700px) {
  .fid-body { flex-direction: row; }
  .fid-stage { flex: 1 1 56%; }
  .fid-side { flex: 1 1 44%; min-width: 330px; max-width: 460px; border-top: 0; border-left: 1px solid var(--fid-line); }
}
@container (max-width: 360px) { /* ComfyUI's form of an App */
  .fid-toolbar { flex-wrap: wrap; height: auto; padding: 3px; }
  .fid-slots { flex: none; margin-left: 3px; }
  .fid-space, .fid-rail { display: none; }
  .fid-under { width: max-content; white-space: normal; }
  .fid-slider { grid-template-columns: 110px minmax(50px, 1fr) 38px 18px 18px; gap: 2px; padding-left: 6px; }
  .fid-popover { top: 58px; }
}
`;

/** Once per page. */
export function installStyle() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = STYLE;
  document.head.append(style);
}
