// SPDX-License-Identifier: Apache-2.0
// The scatter of a board on a canvas: uPlot gives axes, zoom and scales; marks, bars, frontier and the pinned
// point are drawn here. The chart made on the server stays when anything fails.
"use strict";

(() => {
  const holder = document.getElementById("scatter");
  if (!holder || typeof uPlot === "undefined") return;
  const live = document.getElementById("scatter-live");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const SHAPES = ["circle", "square", "diamond", "triangle"];
  const number = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 8 }));

  function shape(ctx, slot, x, y, r) {
    ctx.beginPath();
    switch (SHAPES[slot % 4]) {
      case "circle": ctx.arc(x, y, r, 0, 2 * Math.PI); break;
      case "square": ctx.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r); break;
      case "diamond": ctx.moveTo(x, y - 1.3 * r); ctx.lineTo(x + 1.3 * r, y); ctx.lineTo(x, y + 1.3 * r); ctx.lineTo(x - 1.3 * r, y); ctx.closePath(); break;
      default: ctx.moveTo(x, y - 1.2 * r); ctx.lineTo(x + 1.15 * r, y + 0.85 * r); ctx.lineTo(x - 1.15 * r, y + 0.85 * r); ctx.closePath();
    }
    ctx.fill();
    ctx.stroke();
  }

  function draw(data) {
    const c = data.columns;
    const n = data.n;
    const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => c.x[a] - c.x[b]);
    const at = new Int32Array(n);
    order.forEach((i, k) => { at[i] = k; });
    const pick = (column) => order.map((i) => column[i]);
    const xs = pick(c.x), ys = pick(c.y), xlo = pick(c.x_lo), xhi = pick(c.x_hi), ylo = pick(c.y_lo), yhi = pick(c.y_hi);
    const coded = c[data.color];
    const slots = order.map((i) => data.slots[coded.values[coded.codes[i]]] ?? 0);
    const frontier = data.frontier.map((i) => at[i]);
    const onFrontier = new Set(frontier);
    const positive = (...lists) => lists.every((list) => list.every((value) => value === null || value > 0));
    const logX = Boolean(holder.dataset.logx) && positive(xs, xlo);
    const logY = Boolean(holder.dataset.logy) && positive(ys, ylo);
    const label = (key, k) => { const column = c[key]; return column.values[column.codes[order[k]]]; };
    let pinned = -1;

    const ends = (log, ...lists) => {
      let low = Infinity, high = -Infinity;
      for (const list of lists) for (const value of list) if (value !== null) { if (value < low) low = value; if (value > high) high = value; }
      if (log) { const span = Math.max(Math.log(high / low), 0.2) * 0.12; return [low / Math.exp(span), high * Math.exp(span)]; }
      const span = (high - low || Math.abs(high) * 0.2 || 1) * 0.12;
      return [low - span, high + span];
    };
    const fullX = ends(logX, xs, xlo, xhi), fullY = ends(logY, ys, ylo, yhi);
    let zoomed = false;

    function paint(u) {
      const ctx = u.ctx, ratio = devicePixelRatio || 1;
      const px = (k) => u.valToPos(xs[k], "x", true), py = (k) => u.valToPos(ys[k], "y", true);
      ctx.save();
      ctx.beginPath();
      ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      ctx.clip();
      if (frontier.length > 1) {
        ctx.strokeStyle = style("--accent");
        ctx.lineWidth = 2 * ratio;
        ctx.beginPath();
        frontier.forEach((k, i) => {
          if (i === 0) ctx.moveTo(px(k), py(k));
          else { ctx.lineTo(px(k), py(frontier[i - 1])); ctx.lineTo(px(k), py(k)); }
        });
        ctx.stroke();
      }
      const colours = Array.from({ length: 8 }, (_, i) => style(`--c${i}`));
      const surface = style("--surface");
      if (n > 5000) {
        for (let k = 0; k < n; k++) { ctx.fillStyle = colours[slots[k]]; ctx.fillRect(px(k) - ratio, py(k) - ratio, 2 * ratio, 2 * ratio); }
      } else {
        if (n <= 300) {
          ctx.strokeStyle = style("--muted");
          ctx.lineWidth = ratio;
          ctx.beginPath();
          for (let k = 0; k < n; k++) {
            if (xlo[k] !== null) { ctx.moveTo(u.valToPos(xlo[k], "x", true), py(k)); ctx.lineTo(u.valToPos(xhi[k], "x", true), py(k)); }
            if (ylo[k] !== null) { ctx.moveTo(px(k), u.valToPos(ylo[k], "y", true)); ctx.lineTo(px(k), u.valToPos(yhi[k], "y", true)); }
          }
          ctx.stroke();
        }
        ctx.strokeStyle = surface;
        ctx.lineWidth = 1.2 * ratio;
        for (let k = 0; k < n; k++) if (!onFrontier.has(k)) { ctx.fillStyle = colours[slots[k]]; shape(ctx, slots[k], px(k), py(k), 4.5 * ratio); }
      }
      ctx.strokeStyle = style("--text");
      ctx.lineWidth = 1.4 * ratio;
      for (const k of frontier) { ctx.fillStyle = colours[slots[k]]; shape(ctx, slots[k], px(k), py(k), 5.5 * ratio); }
      if (pinned >= 0) {
        ctx.strokeStyle = style("--accent");
        ctx.lineWidth = 2 * ratio;
        ctx.beginPath();
        ctx.arc(px(pinned), py(pinned), 11 * ratio, 0, 2 * Math.PI);
        ctx.stroke();
      }
      ctx.restore();
    }

    const ticks = (values) => values.map((value) => (value === null ? "" : number(value)));
    // uPlot counts the ticks of a logarithmic axis from its lower end, which need not be round.
    const logTicks = (u, axis, low, high) => {
      const decades = Math.log10(high / low), found = [];
      const steps = decades > 3 ? [1] : decades > 1.1 ? [1, 2, 5] : decades > 0.4 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
        for (const step of steps) { const value = Number((step * 10 ** power).toPrecision(3)); if (value >= low && value <= high) found.push(value); }
      }
      return found;
    };
    const arrow = { lower: "lower is better", higher: "higher is better" };
    const title = (text, direction, sign) => text + (arrow[direction] ? `   ${sign} ${arrow[direction]}` : "");
    const axis = (scale, text, log, extra) => ({
      scale, label: text, labelSize: 26, stroke: () => style("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      grid: { stroke: () => style("--line"), width: 1 }, ticks: { stroke: () => style("--line"), width: 1, size: 4 },
      values: (u, values) => ticks(values), ...(log ? { splits: logTicks, filter: (u, values) => values } : {}), ...extra,
    });
    const size = () => ({ width: holder.clientWidth, height: Math.round(Math.max(260, Math.min(460, holder.clientWidth * 0.6))) });
    const fallback = [...holder.childNodes];
    const plot = new uPlot({
      ...size(), legend: { show: false }, padding: [12, 14, 0, 0],
      scales: {
        x: { time: false, distr: logX ? 3 : 1, dir: data.x.direction === "higher" ? -1 : 1, range: (u, low, high) => (zoomed ? [low, high] : fullX) },
        y: { distr: logY ? 3 : 1, dir: data.y.direction === "lower" ? -1 : 1, range: (u, low, high) => (zoomed ? [low, high] : fullY) },
      },
      axes: [
        axis("x", title(holder.dataset.xlabel, data.x.direction, "←"), logX, { size: 34 }),
        axis("y", title(holder.dataset.ylabel, data.y.direction, "→"), logY, { size: 52 }),
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: true, uni: 20, dist: 6 }, bind: { dblclick: () => () => { zoomed = false; plot.setScale("x", { min: fullX[0], max: fullX[1] }); plot.setScale("y", { min: fullY[0], max: fullY[1] }); } } },
      hooks: { draw: [paint], setSelect: [() => { zoomed = true; }] },
    }, [xs, ys], holder);
    for (const node of fallback) node.remove();

    const tip = document.createElement("a");
    tip.className = "tip";
    tip.hidden = true;
    plot.over.append(tip);
    function pin(k, announce) {
      if (k === pinned) return;
      pinned = k;
      tip.hidden = k < 0;
      if (k >= 0) {
        const lines = [`${label("model", k).replace(/^model:/, "")} · ${label("precision", k)}`, label("runtime", k), label("machine", k),
          `${number(xs[k])} ${data.x.unit}${xlo[k] === null ? "" : ` (${number(xlo[k])}–${number(xhi[k])})`}, ${number(ys[k])} ${data.y.unit}`];
        tip.replaceChildren(...lines.map((line) => { const row = document.createElement("span"); row.textContent = line; return row; }));
        tip.href = `/r/${c.id[order[k]]}`;
        const x = plot.valToPos(xs[k], "x"), y = plot.valToPos(ys[k], "y");
        const right = x > plot.over.clientWidth / 2, below = y > plot.over.clientHeight / 2;
        tip.style.left = right ? "" : `${x + 14}px`;
        tip.style.right = right ? `${plot.over.clientWidth - x + 14}px` : "";
        tip.style.top = below ? "" : `${y + 8}px`;
        tip.style.bottom = below ? `${plot.over.clientHeight - y + 8}px` : "";
        if (announce) live.textContent = lines.join(", ");
      }
      plot.redraw(false, false);
    }
    function nearest(event) {
      const box = plot.over.getBoundingClientRect(), mx = event.clientX - box.left, my = event.clientY - box.top;
      let best = -1, distance = 22 ** 2;
      for (let k = 0; k < n; k++) {
        const dx = plot.valToPos(xs[k], "x") - mx;
        if (dx * dx > distance) continue;
        const dy = plot.valToPos(ys[k], "y") - my;
        if (dx * dx + dy * dy < distance) { distance = dx * dx + dy * dy; best = k; }
      }
      return best;
    }
    let opening = 0;
    plot.over.addEventListener("pointermove", (event) => { if (!tip.contains(event.target)) { const k = nearest(event); if (k >= 0 || event.pointerType === "mouse") pin(k, false); } });
    plot.over.addEventListener("click", (event) => { if (tip.contains(event.target)) return; const k = nearest(event); if (k >= 0 && event.pointerType === "mouse") opening = setTimeout(() => { location.href = `/r/${c.id[order[k]]}`; }, 250); else pin(k, true); });
    // The second click of a pair undoes a zoom; it must not open the point that lies under it.
    for (const kind of ["pointerdown", "dblclick"]) plot.over.addEventListener(kind, () => clearTimeout(opening));
    holder.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (step && frontier.length) { event.preventDefault(); const here = frontier.indexOf(pinned); pin(frontier[here < 0 ? (step > 0 ? 0 : frontier.length - 1) : Math.min(frontier.length - 1, Math.max(0, here + step))], true); }
      if (event.key === "Enter" && pinned >= 0) location.href = `/r/${c.id[order[pinned]]}`;
      if (event.key === "Escape") pin(-1, false);
    });
    new ResizeObserver(() => { const wanted = size(); if (wanted.width !== plot.width) { pin(-1, false); plot.setSize(wanted); } }).observe(holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw(false, true));
    holder.dataset.ready = "1";
  }

  fetch(holder.dataset.points, { headers: { Accept: "application/json" } })
    .then((answer) => { if (!answer.ok) throw new Error(String(answer.status)); return answer.json(); })
    .then(draw)
    .catch((error) => { holder.dataset.failed = String(error); });
})();
