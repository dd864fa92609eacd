// Small plots of a leaderboard document: the search history, and the objective by each parameter.
// Names and values come from a training script: they are inserted as text only.

/** Draw the plots into an element. */
const renderPlots = (() => {
  "use strict";

  const BOX = { width: 320, height: 200, left: 48, right: 10, top: 8, bottom: 22 };
  const MAX_LABEL_LENGTH = 14;
  const MAX_LABELS = 6;

  function renderPlots(element, board) {
    const trials = board.trials.filter((trial) => typeof trial.value === "number");
    if (trials.length < 2) return element.replaceChildren();
    const history = plot(board, trials, { name: "trial", of: (trial) => trial.number }, bestSoFar(board, trials));
    const scatters = board.parameters.map((name, index) =>
      plot(board, trials.filter((trial) => isPresent(trial.parameters[index])), { name, of: (trial) => trial.parameters[index] }));
    return element.replaceChildren(history, ...scatters);
  }

  /** Return a figure with the trials as points, over a line if one is given. */
  function plot(board, trials, column, line = []) {
    const across = scaleOf(trials.map(column.of), BOX.left, BOX.width - BOX.right);
    const up = scaleOf(trials.map((trial) => trial.value), BOX.height - BOX.bottom, BOX.top);
    const picture = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img" });
    picture.setAttribute("aria-label", `${board.metric} by ${column.name}`);
    picture.append(...across.ticks.flatMap(columnTick), ...up.ticks.flatMap(rowTick));
    if (line.length) picture.append(stairs(line, across, up, BOX.width - BOX.right));
    picture.append(...[...trials].reverse().map((trial) => point(board, trial, column, across, up)));
    const caption = document.createElement("figcaption");
    caption.textContent = caption.title = `${board.metric} by ${column.name}`;
    if (line.length) caption.textContent += ", and best so far";
    const figure = document.createElement("figure");
    figure.append(caption, picture);
    return figure;
  }

  function point(board, trial, column, across, up) {
    const circle = svg("circle", { cx: across.at(column.of(trial)), cy: up.at(trial.value), r: trial.rank === 1 ? 4.5 : 3 });
    circle.setAttribute("class", trial.rank === 1 ? "trial winner" : "trial");
    const title = svg("title");
    title.textContent = `${trial.trial_id}\n${column.name}: ${column.of(trial)}\n${board.metric}: ${trial.value}`;
    circle.append(title);
    return circle;
  }

  /** Return each trial that was better than all earlier ones, in their order. */
  function bestSoFar(board, trials) {
    const sign = board.mode === "min" ? -1 : 1;
    let best = -Infinity;
    return [...trials].sort((one, other) => one.number - other.number).filter((trial) => {
      const isBetter = sign * trial.value > best;
      best = Math.max(best, sign * trial.value);
      return isBetter;
    });
  }

  function stairs(trials, across, up, end) {
    const steps = trials.map((trial, index) => {
      const [x, y] = [across.at(trial.number), up.at(trial.value)];
      return index ? `H${x}V${y}` : `M${x} ${y}`;
    });
    return svg("path", { d: `${steps.join("")}H${end}`, class: "best-so-far" });
  }

  function columnTick({ at, text }) {
    const label = svg("text", { x: at, y: BOX.height - 8, "text-anchor": "middle" });
    label.textContent = text;
    return [svg("line", { class: "grid", x1: at, x2: at, y1: BOX.top, y2: BOX.height - BOX.bottom }), label];
  }

  function rowTick({ at, text }) {
    const label = svg("text", { x: BOX.left - 5, y: at + 3, "text-anchor": "end" });
    label.textContent = text;
    return [svg("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: at, y2: at }), label];
  }

  /** Return the position of a value between the two ends of an axis, and the ticks of the axis. */
  function scaleOf(values, from, to) {
    if (!values.every((value) => typeof value === "number")) return categoryScale(values, from, to);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const isWide = least > 0 && most / least > 100;
    return isWide ? logScale(least, most, from, to) : linearScale(least, most, from, to);
  }

  function linearScale(least, most, from, to) {
    const margin = (most - least) * 0.04 || Math.abs(most) * 0.1 || 1;
    const [low, high] = [least - margin, most + margin];
    const at = (value) => from + ((value - low) / (high - low)) * (to - from);
    const step = roundStep((high - low) / 5);
    const ticks = [];
    for (let count = Math.ceil(low / step); count * step <= high && ticks.length < 20; count += 1) {
      ticks.push({ at: at(count * step), text: short(count * step) });
    }
    return { at, ticks };
  }

  function logScale(least, most, from, to) {
    const exponents = linearScale(Math.log10(least), Math.log10(most), from, to);
    const at = (value) => exponents.at(Math.log10(value));
    const [first, last] = [Math.ceil(Math.log10(least) - 1e-9), Math.floor(Math.log10(most) + 1e-9)];
    const step = Math.ceil((last - first) / 5) || 1;
    const ticks = [];
    for (let exponent = first; exponent <= last; exponent += step) {
      ticks.push({ at: exponents.at(exponent), text: short(10 ** exponent) });
    }
    return { at, ticks };
  }

  function categoryScale(values, from, to) {
    const names = [...new Set(values.map(String))].sort((one, other) => one.localeCompare(other, undefined, { numeric: true }));
    const at = (value) => from + ((names.indexOf(String(value)) + 0.5) / names.length) * (to - from);
    const every = Math.ceil(names.length / MAX_LABELS);
    const room = Math.max(3, Math.floor((MAX_LABEL_LENGTH * 4) / Math.min(names.length, MAX_LABELS)));
    const shown = names.filter((_, index) => index % every === 0);
    return { at, ticks: shown.map((name) => ({ at: at(name), text: cut(name, room) })) };
  }

  /** Round up to the next of 1, 2, 5, 10, 20, ... */
  function roundStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 5, 10].find((digit) => digit * power >= rough * 0.999);
  }

  function short(number) {
    const size = Math.abs(number);
    if (size !== 0 && (size >= 1e5 || size < 1e-3)) return number.toExponential(1).replace(".0e", "e").replace("e+", "e");
    return String(Number(number.toPrecision(4)));
  }

  function cut(text, length) {
    const characters = [...text];
    return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : text;
  }

  function isPresent(value) {
    return value !== null && value !== undefined;
  }

  function svg(tag, attributes = {}) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  return renderPlots;
})();
