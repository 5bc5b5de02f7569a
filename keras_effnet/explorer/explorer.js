"use strict";
// The sums of cost_table.py, what the controls do, and everything that is drawn. Sizes and costs are looked up.
const { tables, rules, phis, steps, largest, usual } = JSON.parse(document.getElementById("tables").textContent);
const find = (id) => document.getElementById(id);
const controls = Object.fromEntries(
  ["backbone", "rule", "phi", "budget", "hold", "alpha", "beta", "gamma"].map((name) => [name, find(name)]));
const FACTORS = ["alpha", "beta", "gamma"], DIMENSIONS = ["depth", "width", "resolution"];

// ---- Numbers as text
const whole = (number) => number.toLocaleString("en-US");
const UNITS = [[1e12, "T", "trillion"], [1e9, "G", "billion"], [1e6, "M", "million"], [1e3, "k", "thousand"]];
function short(number, spoken = false) {
  const [size, letter, word] = UNITS.find(([size]) => number >= size) ?? [1, "", ""];
  const digits = number / size;
  return `${digits.toFixed(digits >= 99.95 ? 0 : digits >= 9.995 ? 1 : 2)} ${spoken ? word : letter}`.trim();
}
const signed = (number) => number.toFixed(2).replace("-", "\u2212");

// ---- What a network costs: `read_costs` of cost_table.py
function place(bounds, value) {
  let low = 0, high = bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value < bounds[middle]) high = middle; else low = middle + 1;
  }
  return low;
}
const at = (steps, factor) => steps.values[place(steps.bounds, factor)];
const valueOf = (entry, channels) =>
  typeof entry === "number" ? entry : entry[0] + channels * (entry[1] + channels * entry[2]);

function costs(table, factors) {
  if (!factors || DIMENSIONS.some((name, index) => factors[index] > largest[name])) return null;
  const [deep, wide, fine] = factors, row = place(table.resolutions.bounds, fine);
  const network = { side: table.resolutions.values[row], parts: [], macs: 0, params: 0, activations: 0 };
  let channels = 3;
  if (network.side === null) return null;
  for (const part of table.parts) {
    const found = at(part.widths, wide), depth = at(part.depths, deep);
    if (!found) return null;
    const [width, operator, ...blocks] = found, cells = part.sizes.map((size) => table.sides[size][row] ** 2);
    const sums = { macs: 0, params: 0, activations: 0 }, late = blocks.length > 2;
    for (let number = 0, times; number < depth; number += times) {
      const last = late && number === depth - 1;
      const block = blocks[last ? (depth === 1 ? 3 : 2) : Math.min(number, 1)];
      // Blocks behind the first are equal, unless each reads more than the one before.
      times = number && !last && typeof block[0] === "number" ? depth - number - late : 1;
      const values = block.map((entry) => valueOf(entry, channels));
      channels = values[0];
      sums.params += times * values[1];
      cells.forEach((count, index) => {
        sums.macs += times * count * values[2 + index];
        sums.activations += times * count * values[2 + cells.length + index];
      });
    }
    const side = table.sides[part.input][row];
    network.parts.push({ operator: part.operators[operator], width, side, channels, depth, ...sums });
    for (const name in sums) network[name] += sums[name];
  }
  const stages = network.parts.slice(1, table.stages + 1), widths = network.parts.filter((part) => part.width);
  network.depth = stages.reduce((sum, part) => sum + part.depth, 0);
  network.width = widths.reduce((sum, part) => sum + part.width, 0) / widths.length;
  return network;
}

// ---- What the sliders ask for
function factorsAt({ table, rule, bases }, number) {
  if (rule !== "compound" && rules[rule].rows) return rules[rule].rows[number - phis[0]] ?? null;
  const phi = number / steps;
  // Where the last digit of a power decides, it is Python's.
  return (rule === "compound" ? bases : rules[rule].bases).map((base) => table.powers[`${base}^${phi}`] ?? base ** phi);
}
const networkAt = (choice, number) => costs(choice.table, factorsAt(choice, number));

// The multiply-adds at every phi for which there is a network.
let curve = { key: "", points: [] };
function curveOf(choice) {
  const key = [choice.table.name, choice.rule, ...choice.bases].join();
  if (curve.key !== key) {
    const points = [];
    for (let number = phis[0]; number <= phis[1]; number++) {
      const network = networkAt(choice, number);
      if (network) points.push({ number, phi: number / steps, macs: network.macs });
    }
    curve = { key, points };
  }
  return curve.points;
}
function nearest(points, macs) {
  const far = (point) => Math.abs(Math.log(point.macs / macs));
  // Of equal networks that are cheaper, the last, beyond which they are dearer: as `explain` has it.
  return points.reduce((best, point) =>
    (far(point) < far(best) || (point.macs === best.macs && point.macs <= macs) ? point : best));
}

function choose() {
  const table = tables[controls.backbone.value];
  return { table, rule: controls.rule.value, bases: FACTORS.map((name) => Number(controls[name].value)) };
}

// ---- Elements
const SVG = "http://www.w3.org/2000/svg";
function shape(tag, attributes, ...content) {
  const made = document.createElementNS(SVG, tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  made.append(...content);
  return made;
}
function cell(tag, content, scope) {
  const made = document.createElement(tag);
  made.append(...[content].flat());
  if (scope) made.scope = scope;
  return made;
}
function fillRows(id, rows) {
  find(id).tBodies[0].replaceChildren(...rows.map(([head, ...cells]) => {
    const line = document.createElement("tr");
    line.append(cell("th", head, "row"), ...cells.map((content) => cell("td", content)));
    return line;
  }));
}
const hue = (index, count) => 205 + (140 * index) / Math.max(count - 1, 1);
function chip(index, count) {
  const made = document.createElement("i");
  made.className = "chip";
  made.style.setProperty("--hue", hue(index, count));
  return made;
}
const paint = (index, count) => `--hue:${hue(index, count)}`;

// ---- The network to scale: a box for each block, as high as it has channels, as far to the back as its map has cells
const LEAN = { right: 0.42, up: 0.26 }; // where a cell further back is drawn, in cells
function boxesOf(network, stages) {
  const drawn = network.parts.slice(0, stages + 1);
  return drawn.flatMap((part, index) => Array.from({ length: part.depth }, () => ({
    side: network.parts[index + 1].side, channels: part.channels, style: paint(index, network.parts.length) })));
}
function drawNetworks(shown, stages) {
  const all = shown.map(({ network }) => boxesOf(network, stages)), most = (values) => Math.max(...values.flat());
  const width = Math.max(find("drawn").clientWidth, 200), high = Math.min(180, 0.34 * width);
  const cell = high / most(shown.map(({ network }) => network.side)) / 1.2;
  const channel = high / most(all.map((each) => each.map((box) => box.channels)));
  const back = most(all.map((each) => each.map((box) => box.side))) * cell * LEAN.right;
  const images = most(shown.map(({ network }) => network.side)) * cell + 14;
  const step = Math.min(36, (width - images - back - 4) / most(all.map((each) => each.length)));
  shown.forEach(({ id, title, network }, index) => {
    const side = network.side * cell, tops = all[index].map((box) => box.channels * channel + box.side * cell * LEAN.up);
    const tall = Math.max(side, ...tops) + 4, base = tall - 1;
    const picture = shape("svg", { viewBox: `0 0 ${width} ${tall}`, height: tall, role: "img", "aria-label": title });
    picture.append(shape("rect", { class: "image", x: 1, y: base - side, width: side, height: side }));
    all[index].forEach((box, number) => {
      const left = images + number * step, right = left + 0.72 * step, top = base - box.channels * channel;
      const [over, up] = [box.side * cell * LEAN.right, box.side * cell * LEAN.up];
      const polygon = (name, ...points) => shape("polygon", { class: name, points: points.join(" ") });
      picture.append(shape("g", { class: "box", style: box.style },
        polygon("flank", `${right},${base}`, `${right + over},${base - up}`, `${right + over},${top - up}`, `${right},${top}`),
        polygon("lid", `${left},${top}`, `${left + over},${top - up}`, `${right + over},${top - up}`, `${right},${top}`),
        polygon("face", `${left},${base}`, `${right},${base}`, `${right},${top}`, `${left},${top}`)));
    });
    find(id).replaceChildren(picture);
    find(`${id}-title`).textContent = title;
  });
}

// ---- What each stage costs
const SHARES = [["macs", "multiply-adds"], ["params", "parameters"], ["activations", "activations"]];
function drawCosts(network) {
  const count = network.parts.length;
  find("shares").replaceChildren(...SHARES.map(([name, label]) => {
    const bar = document.createElement("div"), line = document.createElement("div");
    const parts = network.parts.map((part) => `${part.operator} ${((100 * part[name]) / network[name]).toFixed(0)} %`);
    bar.className = "bar";
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `${label} by stage: ${parts.join("; ")}`);
    network.parts.forEach((part, index) => {
      const piece = chip(index, count);
      piece.style.flexGrow = part[name] / network[name];
      piece.title = parts[index];
      bar.append(piece);
    });
    line.append(cell("span", label), bar);
    return line;
  }));
  const rows = network.parts.map((part, index) => [
    [chip(index, count), part.operator], `${part.side}`, whole(part.channels), whole(part.depth), whole(part.params),
    whole(part.macs), whole(part.activations)]);
  fillRows("stages", [...rows, ["all", "", "", "", ...["params", "macs", "activations"].map((name) => whole(network[name]))]]);
}

// ---- Where the published sizes lie
function publishedRows(choice, points, base) {
  return choice.table.published.map((size) => {
    const point = nearest(points, size.macs), [low, high] = ends(points).map(Math.exp);
    if (size.macs > 1.2 * high || size.macs < low / 1.2) return { size, point: null };
    const network = networkAt(choice, point.number);
    const ours = [network.depth / base.depth, network.width / base.width, network.side / base.side];
    const ratios = DIMENSIONS.map((name, index) => ours[index] / size[name]);
    return { size, point, network, difference: Math.max(...ratios.map((ratio) => Math.max(ratio, 1 / ratio))) };
  });
}
function drawMarks(rows, points) {
  const marks = find("marks"), width = marks.clientWidth, [first, last] = [points[0].phi, points.at(-1).phi], taken = [];
  const shortest = rows.filter((row) => row.point).sort((a, b) => a.size.label.length - b.size.label.length);
  marks.replaceChildren(...shortest.map(({ size, point }) => {
    const mark = document.createElement("span"), share = (point.phi - first) / (last - first), half = 3.5 * size.label.length + 4;
    mark.style.left = `${100 * share}%`;
    mark.title = size.name;
    if (taken.every(([from, to]) => share * width + half < from || share * width - half > to)) {
      mark.textContent = size.label;
      taken.push([share * width - half, share * width + half]);
    }
    return mark;
  }));
}
function drawChart(choice, points, rows, current, budget, base) {
  const width = Math.max(find("chart").clientWidth, 200), height = 300, [left, right, top, bottom] = [52, 14, 12, 34];
  const [first, last] = [points[0].phi, points.at(-1).phi];
  const amounts = [...points, ...choice.table.published, { macs: budget ?? current.macs }].map((point) => point.macs);
  const [low, high] = [Math.floor(Math.log10(Math.min(...amounts))), Math.ceil(Math.log10(Math.max(...amounts)))];
  const x = (phi) => left + ((phi - first) / (last - first)) * (width - left - right);
  const y = (macs) => height - bottom - ((Math.log10(macs) - low) / (high - low)) * (height - top - bottom);
  const line = (name, ...places) => shape("polyline", { class: name, points: places.map((each) => each.join()).join(" ") });
  const text = (label, left, top, anchor) => shape("text", { x: left, y: top, "text-anchor": anchor }, label);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  const words = rows.filter((row) => row.point).map((row) => `${row.size.name} near ${signed(row.point.phi)}`);
  picture.setAttribute("aria-label",
    `Multiply-adds against phi, from ${short(points[0].macs, true)} to ${short(points.at(-1).macs, true)}. ${words.join("; ")}`);
  for (let power = low; power <= high; power++) {
    picture.append(line("grid", [left, y(10 ** power)], [width - right, y(10 ** power)]));
    picture.append(text(`${10 ** (power % 3)} ${short(10 ** power).at(-1)}`, left - 8, y(10 ** power) + 4, "end"));
  }
  const every = (last - first) * 40 > width ? 2 : 1;
  for (let phi = Math.ceil(first); phi <= last; phi++) {
    if (phi % every === 0) picture.append(text(`${phi}`.replace("-", "\u2212"), x(phi), height - 14, "middle"));
  }
  const promised = points.filter((point) => point.number % 10 === 0).map((point) => {
    const [deep, wide, fine] = factorsAt(choice, point.number);
    return [x(point.phi), y(base.macs * deep * wide ** 2 * fine ** 2)];
  }).filter(([, level]) => level >= top && level <= height - bottom);
  picture.append(line("promised", ...promised), line("counted", ...points.map((point) => [x(point.phi), y(point.macs)])));
  if (budget) picture.append(line("budget", [left, y(budget)], [width - right, y(budget)]));
  for (const { size, point } of rows) {
    if (!point) continue;
    const flip = x(point.phi) > width - 90;
    picture.append(shape("circle", { class: "size", cx: x(point.phi), cy: y(size.macs), r: 4.5 }, shape("title", {}, size.name)));
    // Long names would lie on each other in a narrow window; the table has them all.
    if (width > 600 || size.label.length < 5) picture.append(text(size.label, x(point.phi) + (flip ? -9 : 9), y(size.macs) + (flip ? -4 : 14), flip ? "end" : "start"));
  }
  picture.append(shape("circle", { class: "current", cx: x(current.phi), cy: y(current.macs), r: 6.5 }));
  find("chart").replaceChildren(picture);
}
function fillPublished(rows, choice) {
  find("published").hidden = find("marked").hidden = !rows.length;
  fillRows("sizes", rows.map(({ size, point, network, difference }) => [
    size.name, ...DIMENSIONS.map((name) => size[name].toFixed(2)), whole(size.macs),
    ...(point ? [signed(point.phi), whole(network.macs), `${(100 * (difference - 1)).toFixed(0)} %`] : ["beyond", "", ""])]));
}

// ---- What to take along
function takeAlong({ table, rule, bases }, phi) {
  const own = rule === "compound" && bases.some((base, index) => base !== usual[index]);
  const file = `${table.name}.json`, scaled = `${table.name}_scaled.json`;
  const name = table.registered ? `"${table.name}"` : `read_spec("${file}")`;
  const constants = FACTORS.map((factor, index) => `${factor}=${bases[index]}`).join(", ");
  const asked = own ? `, rule=Compound(${constants})` : rule === "compound" ? "" : `, rule="${rule}"`;
  const imports = ["from keras_effnet import scale_model"];
  if (own) imports.push("from keras_effnet.scaling import Compound, scale_spec");
  const files = [...(table.registered ? [] : ["read_spec"]), ...(own ? ["write_spec"] : [])];
  if (files.length) imports.push(`from keras_effnet.serialization import ${files.join(", ")}`);
  const lines = [...imports, "", `model = scale_model(${name}, phi=${phi}${asked})`];
  if (own) lines.push(`write_spec(scale_spec(${name}, phi=${phi}${asked}), "${scaled}")  # for the command line`);
  const words = own ? `explain ${scaled}`
    : `explain ${table.registered ? table.name : file} --phi ${phi}${rule === "compound" ? "" : ` --rule ${rule}`}`;
  find("python").textContent = lines.join("\n");
  find("command").textContent = `keras-effnet ${words}`;
}

// ---- One way for the data: from the controls to the page
const settle = { budget: null, macs: 0, timer: 0 };
function readPhi(choice, points, source) {
  let number = Math.round(Number(controls.phi.value) * steps);
  if (source === "phi") controls.hold.checked = false;
  if (source === "budget") {
    const [low, high] = ends(points);
    settle.budget = Math.exp(low + ((high - low) * Number(controls.budget.value)) / 1000);
  }
  if (controls.hold.checked) settle.budget ??= settle.macs;
  if (source === "budget" || controls.hold.checked) {
    number = (points.filter((point) => point.macs <= settle.budget).at(-1) ?? points[0]).number;
  } else {
    settle.budget = null;
  }
  return points.find((point) => point.number === number) ?? (number < points[0].number ? points[0] : points.at(-1));
}
function ends(points) {
  const amounts = points.map((point) => Math.log(point.macs));
  return [Math.min(...amounts), Math.max(...amounts)];
}
function showControls(choice, points, point, network) {
  const [first, last] = [points[0].phi, points.at(-1).phi], [low, high] = ends(points);
  Object.assign(controls.phi, { min: first, max: last, value: point.phi });
  const budget = settle.budget ?? network.macs;
  controls.budget.value = Math.round((1000 * (Math.log(budget) - low)) / (high - low));
  controls.budget.setAttribute("aria-valuetext", `${short(budget, true)} multiply-adds`);
  find("phi-value").textContent = signed(point.phi);
  find("budget-value").textContent = short(budget);
  const share = ((100 * network.macs) / budget).toFixed(1);
  find("used").textContent = settle.budget === null ? "Moves phi to the largest network within it."
    : network.macs > budget ? `Nothing is within it: the smallest network takes ${share} % of it.`
    : `phi = ${signed(point.phi)} is the largest within it and uses ${share} %.`;
  settle.macs = network.macs;
  FACTORS.forEach((name, index) => { find(`${name}-value`).textContent = choice.bases[index].toFixed(2); });
  find("factors").hidden = choice.rule !== "compound";
  find("step").textContent = choice.bases.reduce((product, base, index) => product * base ** (index ? 2 : 1), 1).toFixed(2);
  for (const range of document.querySelectorAll("input[type=range]")) {
    range.style.setProperty("--at", (range.value - range.min) / (range.max - range.min));
  }
}
function showNumbers(choice, point, network, base) {
  for (const [name] of SHARES) {
    find(`short-${name}`).textContent = short(network[name]);
    find(name).textContent = whole(network[name]);
  }
  find("short-network").textContent = `${network.side} px`;
  find("blocks").textContent = whole(network.depth);
  const asked = factorsAt(choice, point.number), promised = asked[0] * asked[1] ** 2 * asked[2] ** 2;
  const came = ["depth", "width", "side", "macs"].map((name) => network[name] / base[name]);
  const sizes = [base, network].map(({ depth, width, side, macs }) =>
    [`${depth} blocks`, `${width.toFixed(0)} channels`, `${side} px`, short(macs)]);
  fillRows("nominal", [...DIMENSIONS, "multiply-adds"].map((name, index) => [
    name, sizes[0][index], `${[...asked, promised][index].toFixed(3)}`, `${came[index].toFixed(3)}`, sizes[1][index]]));
  const bases = choice.rule === "compound" ? choice.bases : rules[choice.rule].bases;
  find("meaning").replaceChildren(...DIMENSIONS.map((name, index) => {
    const power = bases ? [`${+bases[index].toFixed(3)}`, cell("sup", signed(point.phi)), " = "] : [];
    return cell("span", [`${name} \u00d7 `, ...power, cell("b", asked[index].toFixed(2))]);
  }));
}
function update(source) {
  const choice = choose(), points = curveOf(choice);
  const point = readPhi(choice, points, source), network = networkAt(choice, point.number);
  const base = costs(choice.table, [1, 1, 1]), rows = publishedRows(choice, points, base);
  showControls(choice, points, point, network);
  showNumbers(choice, point, network, base);
  drawNetworks([
    { id: "base", title: `${choice.table.name} as it is: ${base.depth} blocks, ${base.side} px`, network: base },
    { id: "scaled", title: `phi = ${signed(point.phi)}: ${network.depth} blocks, ${network.side} px`, network },
  ], choice.table.stages);
  drawCosts(network);
  drawMarks(rows, points);
  fillPublished(rows, choice);
  if (rows.length) drawChart(choice, points, rows, point, settle.budget, base);
  takeAlong(choice, point.phi);
  clearTimeout(settle.timer);
  settle.timer = setTimeout(() => {
    // Said once the sliders rest, so that a screen reader is not talked over.
    find("said").textContent = `phi ${signed(point.phi)}: ${network.depth} blocks, ${network.side} pixels, ` +
      `${short(network.params, true)} parameters, ${short(network.macs, true)} multiply-adds.`;
    if (location.protocol !== "about:") history.replaceState(null, "", `#${address()}`);
  }, 700);
}

// ---- The address holds the controls, so that a link leads to a network
const kept = ["rule", "phi", ...FACTORS];
const address = () => new URLSearchParams([
  ["backbone", choose().table.name], ...kept.map((name) => [name, controls[name].value])]);
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const index = tables.findIndex((table) => table.name === given.get("backbone"));
  if (index >= 0) controls.backbone.value = index;
  for (const name of kept) if (given.has(name)) controls[name].value = given.get(name);
  if (!controls.rule.value) controls.rule.value = "compound";
}
for (const name in controls) controls[name].addEventListener("input", () => update(name));
find("reset").addEventListener("click", () => {
  FACTORS.forEach((name, index) => { controls[name].value = usual[index]; });
  update("alpha");
});
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = find(button.dataset.copy);
    getSelection().selectAllChildren(text); // for a browser that gives a file no clipboard
    await navigator.clipboard?.writeText(text.textContent).then(() => { button.textContent = "Copied"; }, () => {});
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
addEventListener("resize", () => update());
addEventListener("hashchange", () => { readAddress(); update("phi"); });
readAddress();
update("phi");
