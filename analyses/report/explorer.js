// The explorer of a report: one input, its players, and the interactions between them.
//
// The page holds whole numbers in units of `step`: for each network and input the AND effects, the OR effects
// (both by coalition, the empty one holding constants) and what they leave of the value table. So every score
// below is a sum of whole numbers, and exact. A coalition is a number whose most significant bit is player 0.
(async () => {
  "use strict";

  const app = document.getElementById("explorer-app");
  const step = Number(app.dataset.step);
  const KINDS = ["and", "or"];
  const PARTS = ["preserved", "discarded", "new"];
  const MAX_ROWS = 60;

  // --- Data ---------------------------------------------------------------------------------------------

  const inflated = async (id) => {
    const letters = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  const words = JSON.parse(new TextDecoder().decode(await inflated("explorer-words")));
  const size = 2 ** words.n;
  const games = words.titles.length;
  const numbers = wholeNumbers(await inflated("explorer-tables"));

  // All lowest bytes come first, then all second ones …; an odd number stands for a negative one.
  function wholeNumbers(bytes) {
    const count = words.networks.length * games * 3 * size;
    const found = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      let unsigned = 0;
      for (let at = i, shift = 0; at < bytes.length; at += count, shift += 8) unsigned |= bytes[at] << shift;
      found[i] = (unsigned >>> 1) ^ -(unsigned & 1);
    }
    return found;
  }

  // The AND effects (0), OR effects (1) or what is left of the scores (2) of a network, in units of `step`.
  const table = (network, game, part) => {
    const start = ((network * games + game) * 3 + part) * size;
    return numbers.subarray(start, start + size);
  };

  const bit = (player) => 1 << (words.n - 1 - player);
  const everyone = size - 1;
  const playersOf = (coalition) => [...Array(words.n).keys()].filter((player) => coalition & bit(player));
  const orderOf = (coalition) => playersOf(coalition).length;
  const orders = Uint8Array.from({ length: size }, (_, coalition) => orderOf(coalition));
  const isActive = (kind, coalition, present) =>
    kind === 0 ? (coalition & ~present) === 0 : (coalition & present) !== 0;

  // An effect counts as salient above this share of the strongest of the input, of either kind.
  function limitOf(network, game) {
    let strongest = 0;
    for (const kind of [0, 1]) {
      const effects = table(network, game, kind);
      for (let s = 1; s < size; s++) strongest = Math.max(strongest, Math.abs(effects[s]));
    }
    return state.threshold * strongest;
  }

  // v(present) = constants + active ANDs + active ORs + what they do not explain.
  function ledgerOf(network, game, present) {
    const limit = limitOf(network, game);
    const [ands, ors, rest] = [0, 1, 2].map((part) => table(network, game, part));
    const found = { nothing: ands[0] + ors[0], rest: rest[present], kinds: [] };
    for (const [kind, effects] of [ands, ors].entries()) {
      const active = { sum: 0, salient: 0, weaker: 0 };
      for (let s = 1; s < size; s++) {
        if (!effects[s] || !isActive(kind, s, present)) continue;
        active.sum += effects[s];
        if (Math.abs(effects[s]) > limit) active.salient++;
        else active.weaker++;
      }
      found.kinds.push(active);
    }
    found.score = found.nothing + found.kinds[0].sum + found.kinds[1].sum + found.rest;
    return found;
  }

  // The salient interactions of one or two networks; of two, what the second preserves, discards and adds.
  function interactionsOf(game) {
    const shown = state.panes.map(networkOf);
    const limits = shown.map((network) => limitOf(network, game));
    const found = [];
    for (const kind of [0, 1]) {
      const effects = shown.map((network) => table(network, game, kind));
      for (let s = 1; s < size; s++) {
        const values = effects.map((of) => of[s]);
        const salient = values.map((value, i) => (Math.abs(value) > limits[i] ? value : 0));
        if (!salient.some(Boolean)) continue;
        const [before, after] = salient;
        const same = shown.length > 1 && before * after > 0;
        const shared = same ? Math.sign(before) * Math.min(Math.abs(before), Math.abs(after)) : 0;
        const parts = shown.length > 1 ? [shared, before - shared, after - shared] : [];
        found.push({ kind, coalition: s, values, parts });
      }
    }
    return found;
  }

  const strengthOf = (item) => {
    const part = PARTS.indexOf(state.part);
    return part >= 0 && item.parts.length ? Math.abs(item.parts[part]) : Math.max(...item.values.map(Math.abs));
  };

  // The effect that gives an interaction its sign: that of the part asked for, else the last network with one.
  const signOf = (item) => {
    const part = PARTS.indexOf(state.part);
    if (part >= 0 && item.parts.length) return Math.sign(item.parts[part]);
    return Math.sign(item.values.reduce((most, value) => (Math.abs(value) >= Math.abs(most) ? value : most), 0));
  };

  function listed(game) {
    const chosen = interactionsOf(game).filter(
      (item) =>
        (state.kind === "both" || KINDS[item.kind] === state.kind) &&
        (state.order === "all" || orders[item.coalition] === Number(state.order)) &&
        (state.sign === "both" || signOf(item) === (state.sign === "positive" ? 1 : -1)) &&
        strengthOf(item) > 0,
    );
    return chosen.sort((a, b) => strengthOf(b) - strengthOf(a));
  }

  // --- State --------------------------------------------------------------------------------------------

  const pane = (group) => ({ group, at: Math.max(group.networks.length - 1, 0) });
  const groupNamed = (name) => words.groups.find((group) => group.name === name);
  const networkOf = ({ group, at }) => group.networks[at];
  const state = {
    game: 0,
    kind: "both",
    sign: "both",
    order: "all",
    part: "all",
    threshold: words.threshold,
    present: everyone,
    panes: words.pair.map((name) => pane(groupNamed(name))),
    lit: null, // under the mouse, or focused
    pinned: null, // chosen by a click
    player: null, // under the mouse, or focused
  };
  // A training run beside itself begins at its start.
  if (state.panes.length > 1 && state.panes[0].group === state.panes[1].group) state.panes[0].at = 0;
  const mayPair = words.networks.length > 1;
  const shownItem = () => state.lit ?? state.pinned;
  const same = (a, b) => a && b && a.kind === b.kind && a.coalition === b.coalition;

  // --- Words --------------------------------------------------------------------------------------------

  const minus = (text) => text.replace("-", "−");
  const signed = (value) => {
    if (Math.abs(value) <= step / 2) return "0";
    const text = Math.abs(value) >= 0.1 ? value.toFixed(2) : String(Number(value.toPrecision(1)));
    return minus((value > 0 ? "+" : "") + text);
  };
  const exactly = (value) => {
    const text = value.toFixed(3);
    return Number(text) === 0 ? "0.000" : minus((value > 0 ? "+" : "") + text);
  };
  const percent = (share) => `${Math.round(1000 * share) / 10}%`;

  function nameOf(player) {
    if (!words.sentences) return String(player + 1);
    const own = words.sentences[state.game].filter((piece) => piece[1] === player);
    return own.map((piece) => piece[0]).join(" ") || String(player + 1);
  }
  function placeOf(player) {
    return words.sentences ? nameOf(player) : `player ${player + 1}, ${regions()[player].place}`;
  }
  const regions = () => words.players[words.players.length > 1 ? state.game : 0];
  const background = () => words.background[words.background.length > 1 ? state.game : 0];
  const titleOf = ({ group, at }) => (group.steps.length ? `${group.title}, step ${group.steps[at]}` : group.title);

  // --- Elements -----------------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  function element(tag, attributes = {}, ...children) {
    const isSvg = ["svg", "g", "path", "image", "line", "polyline", "circle", "text"].includes(tag);
    const made = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }
  const byId = (id) => document.getElementById(`explorer-${id}`);
  const replace = (parent, ...children) => parent.replaceChildren(...children);

  // Arrow keys move the focus within a group, of which the tab key reaches one.
  function roving(group, event, forward, backward) {
    const members = [...group.querySelectorAll("[data-roving]")];
    const at = members.indexOf(document.activeElement);
    const move = { Home: -at, End: members.length - 1 - at }[event.key];
    const by = move ?? (forward.includes(event.key) ? 1 : backward.includes(event.key) ? -1 : 0);
    if (at < 0 || (!by && move === undefined)) return;
    event.preventDefault();
    const next = members[Math.min(Math.max(at + by, 0), members.length - 1)];
    members.forEach((member) => member.setAttribute("tabindex", member === next ? "0" : "-1"));
    next.focus();
  }

  // --- Players ------------------------------------------------------------------------------------------

  function toggle(player) {
    state.present ^= bit(player);
    update();
  }

  const playerEvents = (player) => ({
    onclick: () => toggle(player),
    onkeydown: (event) => {
      if (event.key === " " || event.key === "Enter") {
        event.preventDefault();
        toggle(player);
      }
    },
    onmouseenter: () => look(player),
    onmouseleave: () => look(null),
    onfocus: () => look(player),
    onblur: () => look(null),
  });
  const playerRole = (player) => ({
    role: "checkbox",
    tabindex: player === 0 ? "0" : "-1",
    "data-roving": true,
    "data-player": player,
    "aria-label": placeOf(player),
    class: "player",
  });

  function picture() {
    const [width, height] = words.size;
    const drawn = element("svg", { viewBox: `-0.5 -0.5 ${width + 1} ${height + 1}`, class: "picture" });
    const image = element("image", { href: words.pictures[state.game], width, height, preserveAspectRatio: "none" });
    const veil = element("path", { d: background(), class: "background", "fill-rule": "evenodd" });
    const players = regions().map(({ path }, player) =>
      element("path", { d: path, "fill-rule": "evenodd", ...playerRole(player), ...playerEvents(player) }),
    );
    drawn.append(image, veil, ...players);
    return drawn;
  }

  // A word is a switch. A player of several words has one switch, its first word.
  function sentence() {
    const seen = new Set();
    const pieces = words.sentences[state.game].map(([word, player]) => {
      if (player < 0) return element("span", { class: "word" }, word);
      const role = seen.has(player) ? { class: "player", "data-player": player } : playerRole(player);
      seen.add(player);
      return element("span", { ...role, ...playerEvents(player) }, word);
    });
    return element("p", { class: "sentence" }, ...pieces.flatMap((piece) => [piece, " "]));
  }

  function playersElement(number) {
    const drawn = words.sentences ? sentence() : picture();
    return element(
      "div",
      {
        class: "players",
        role: "group",
        "aria-label": `players, ${titleOf(state.panes[number])}; space switches one off or on`,
        onkeydown: (event) => roving(drawn, event, ["ArrowRight", "ArrowDown"], ["ArrowLeft", "ArrowUp"]),
      },
      drawn,
    );
  }

  // --- Panes: a network with its picture and its score --------------------------------------------------

  function paneElement(shown, number) {
    const choice = element(
      "select",
      {
        "aria-label": `network ${number + 1}`,
        "data-network": number,
        onchange: (event) => {
          state.panes[number] = pane(words.groups[event.target.selectedIndex]);
          build();
          document.querySelector(`[data-network="${number}"]`).focus();
        },
      },
      ...words.groups.map((group) => element("option", { selected: group === shown.group }, group.title)),
    );
    const heading = [words.groups.length > 1 ? choice : element("strong", {}, shown.group.title)];
    const { steps } = shown.group;
    if (steps.length) {
      const slider = element("input", {
        type: "range",
        min: 0,
        max: steps.length - 1,
        "data-step": number,
        "aria-label": `checkpoint of network ${number + 1}`,
        oninput: (event) => {
          shown.at = Number(event.target.value);
          update();
        },
      });
      slider.value = shown.at;
      heading.push(element("span", { class: "slider" }, slider, element("output", { class: "step" })));
    }
    return element(
      "div",
      { class: "pane", "data-pane": number },
      element("div", { class: "pane-head" }, ...heading),
      playersElement(number),
      element("table", { class: "ledger" }, element("tbody")),
      element("div", { class: "course" }),
    );
  }

  const line = (name, value, data, strong) =>
    element(
      "tr",
      { class: strong ? "total" : false, "data-line": data },
      element("th", { scope: "row" }, name),
      element("td", { "data-value": value * step }, exactly(value * step)),
    );

  function ledgerLines(network) {
    const found = ledgerOf(network, state.game, state.present);
    const kinds = found.kinds.map((active, kind) => {
      const name = `active ${KINDS[kind].toUpperCase()}: ${active.salient} salient, ${active.weaker} weaker`;
      return line(name, active.sum, KINDS[kind]);
    });
    const rest = words.exact ? "rounding" : "noise of the split";
    return [
      line("nothing present", found.nothing, "nothing"),
      ...kinds,
      line(rest, found.rest, "rest"),
      line(`score (${words.unit})`, found.score, "score", true),
    ];
  }

  // Through training: the effect of the interaction that is shown, else the score of this masked input.
  function course(shown) {
    const { networks, steps } = shown.group;
    if (networks.length < 2) return [];
    const item = shownItem();
    const values = networks.map((network) =>
      item
        ? step * table(network, state.game, item.kind)[item.coalition]
        : step * ledgerOf(network, state.game, state.present).score,
    );
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const [width, height, edge] = [240, 56, 5];
    const x = (i) => edge + ((width - 2 * edge) * (steps[i] - steps[0])) / (steps.at(-1) - steps[0]);
    const y = (value) => height - edge - ((height - 2 * edge) * (value - low)) / (high - low || 1);
    const kind = item && KINDS[item.kind].toUpperCase();
    const what = item
      ? `effect of ${kind} {${playersOf(item.coalition).map(nameOf).join(", ")}}`
      : "score of this masked input";
    const seen = item && !words.sentences ? `effect of the ${kind} that is shown` : what;
    const told = steps.map((at, i) => `${signed(values[i])} at step ${at}`).join(", ");
    const drawn = element(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${what} through training: ${told}` },
      element("line", { x1: edge, x2: width - edge, y1: y(0), y2: y(0), class: "zero" }),
      element("polyline", { points: values.map((value, i) => `${x(i)},${y(value)}`).join(" ") }),
      ...values.map((value, i) => element("circle", { cx: x(i), cy: y(value), r: 1.8, "data-value": value })),
      element("circle", { cx: x(shown.at), cy: y(values[shown.at]), r: 4, class: "now" }),
    );
    const ends = [0, steps.length - 1].map((i) => `${signed(values[i])} at step ${steps[i]}`);
    return [drawn, element("p", {}, `${seen}: ${ends.join(", ")}`)];
  }

  // --- The list of interactions -------------------------------------------------------------------------

  const unseen = (text) => element("span", { class: "visually-hidden" }, text);

  // Who sees the picture needs no numbers of regions; a screen reader reads them.
  function members(item) {
    const names = playersOf(item.coalition).map(nameOf);
    if (words.sentences) return [unseen(" of "), element("span", { class: "names" }, names.join(" · "))];
    const [width, height] = words.size;
    const chosen = playersOf(item.coalition).map((player) => element("path", { d: regions()[player].path }));
    const all = regions().map(({ path }) => element("path", { d: path, class: "other" }));
    const sketch = { viewBox: `-0.5 -0.5 ${width + 1} ${height + 1}`, class: "sketch", "aria-hidden": "true" };
    return [unseen(` of ${names.join(", ")}: `), element("svg", sketch, ...all, ...chosen)];
  }

  function bars(item, strongest) {
    const drawn = item.values.map((value) => {
      const length = (50 * Math.abs(value)) / strongest;
      const style = `width:${length}%;left:${value < 0 ? 50 - length : 50}%`;
      return element("span", { class: "bar" }, element("i", { class: value < 0 ? "negative" : "positive", style }));
    });
    return element("span", { class: "bars", "aria-hidden": "true" }, ...drawn);
  }

  function partsBar(item, strongest) {
    const drawn = item.parts.map((value, i) =>
      element("i", { class: PARTS[i], style: `width:${(100 * Math.abs(value)) / (2 * strongest)}%`, title: PARTS[i] }),
    );
    return element("span", { class: "parts", "aria-hidden": "true" }, ...drawn);
  }

  function row(item, first, strongest) {
    const pick = () => {
      state.pinned = same(state.pinned, item) ? null : item;
      light(item);
    };
    return element(
      "li",
      {
        role: "option",
        tabindex: first ? "0" : "-1",
        "data-roving": true,
        "data-kind": KINDS[item.kind],
        "data-coalition": item.coalition,
        "data-values": item.values.map((value) => value * step).join(" "),
        "data-parts": item.parts.map((value) => value * step).join(" "),
        class: signOf(item) < 0 ? "negative" : "positive",
        onmouseenter: () => light(item),
        onmouseleave: () => light(null),
        onfocus: () => light(item),
        onblur: () => light(null),
        onclick: pick,
        onkeydown: (event) => {
          if (event.key === " " || event.key === "Enter") {
            event.preventDefault();
            pick();
          }
        },
      },
      element("span", { class: `kind ${KINDS[item.kind]}` }, KINDS[item.kind].toUpperCase()),
      ...members(item),
      element("span", { class: "effect" }, item.values.map((value) => signed(value * step)).join(" → ")),
      unseen(PARTS.filter((_, i) => item.parts[i]).join(" and ")),
      bars(item, strongest),
      ...(item.parts.length ? [partsBar(item, strongest)] : []),
    );
  }

  function list() {
    const items = listed(state.game);
    const strongest = Math.max(1, ...items.slice(0, MAX_ROWS).flatMap((item) => item.values.map(Math.abs)));
    const shown = items.slice(0, MAX_ROWS);
    byId("list").classList.toggle("in-words", Boolean(words.sentences));
    replace(byId("list"), ...shown.map((item, i) => row(item, i === 0, strongest)));
    const more = items.length > shown.length ? `; the ${shown.length} strongest are here` : "";
    byId("count").textContent = items.length
      ? `${items.length} interaction${items.length === 1 ? "" : "s"}${more}`
      : "No interaction of this kind: lower the threshold, or show more kinds, orders and signs.";
  }

  function totals() {
    const sums = [0, 0, 0];
    for (const item of interactionsOf(state.game)) item.parts.forEach((value, i) => (sums[i] += Math.abs(value)));
    const text = PARTS.map((name, i) =>
      element("span", { class: `share ${name}`, "data-value": sums[i] * step }, `${name} ${(sums[i] * step).toFixed(2)}`),
    );
    replace(byId("totals"), ...(state.panes.length > 1 ? text : []));
  }

  // --- Light: what list and picture show of each other --------------------------------------------------

  function light(item) {
    state.lit = item;
    mark();
  }
  function look(player) {
    state.player = player;
    mark();
  }

  // Only classes and attributes: elements stay, and with them the focus.
  function mark() {
    const item = shownItem();
    app.classList.toggle("lit", Boolean(item));
    for (const drawn of app.querySelectorAll(".player")) {
      const player = Number(drawn.dataset.player);
      const isMember = Boolean(item && item.coalition & bit(player));
      const isPresent = Boolean(state.present & bit(player));
      drawn.classList.toggle("member", isMember);
      drawn.classList.toggle("or", Boolean(item && item.kind === 1));
      drawn.classList.toggle("negative", Boolean(item && signOf(item) < 0));
      drawn.classList.toggle("off", !isPresent);
      drawn.classList.toggle("looked", state.player === player);
      if (drawn.hasAttribute("role")) drawn.setAttribute("aria-checked", String(isPresent));
    }
    for (const drawn of byId("list").children) {
      const own = { kind: KINDS.indexOf(drawn.dataset.kind), coalition: Number(drawn.dataset.coalition) };
      drawn.classList.toggle("lit", Boolean(same(item, own)));
      drawn.classList.toggle("looked", state.player !== null && Boolean(own.coalition & bit(state.player)));
      drawn.classList.toggle("inactive", !isActive(own.kind, own.coalition, state.present));
      drawn.setAttribute("aria-selected", String(Boolean(same(state.pinned, own))));
    }
    byId("only").disabled = !item;
    state.panes.forEach((shown, number) => {
      replace(document.querySelector(`[data-pane="${number}"] .course`), ...course(shown));
    });
  }

  // --- Everything ---------------------------------------------------------------------------------------

  function update() {
    state.panes.forEach((shown, number) => {
      const place = document.querySelector(`[data-pane="${number}"]`);
      replace(place.querySelector(".ledger tbody"), ...ledgerLines(networkOf(shown)));
      const told = place.querySelector(".step");
      if (told) told.textContent = `step ${shown.group.steps[shown.at]}`;
    });
    byId("present").textContent = `${orderOf(state.present)} of ${words.n} players present`;
    byId("threshold-said").textContent = `${percent(state.threshold)} of the strongest`;
    byId("between").textContent = state.panes.map(titleOf).join(" → ");
    list();
    totals();
    mark();
  }

  // For another input, or other panes: new pictures.
  function build() {
    byId("parts").hidden = state.panes.length < 2;
    replace(byId("panes"), ...state.panes.map(paneElement));
    update();
  }

  function start() {
    const input = byId("input");
    input.append(...words.titles.map((title) => element("option", {}, title)));
    const go = (game) => {
      state.game = (game + games) % games;
      input.selectedIndex = state.game;
      Object.assign(state, { present: everyone, lit: null, pinned: null, player: null });
      build();
    };
    input.addEventListener("change", () => go(input.selectedIndex));
    byId("previous").addEventListener("click", () => go(state.game - 1));
    byId("next").addEventListener("click", () => go(state.game + 1));
    for (const name of ["kind", "sign", "part"]) {
      for (const choice of app.querySelectorAll(`input[name="explorer-${name}"]`)) {
        choice.addEventListener("change", () => {
          Object.assign(state, { [name]: choice.value, lit: null, pinned: null });
          update();
        });
      }
    }
    const order = byId("order");
    const options = ["all", ...Array.from({ length: words.n }, (_, i) => String(i + 1))];
    order.append(...options.map((value) => element("option", { value }, value)));
    order.addEventListener("change", () => {
      Object.assign(state, { order: order.value, lit: null, pinned: null });
      update();
    });
    const threshold = byId("threshold");
    threshold.value = 100 * state.threshold;
    threshold.addEventListener("input", () => {
      state.threshold = Number(threshold.value) / 100;
      update();
    });
    const sides = byId("sides");
    sides.checked = state.panes.length > 1;
    sides.closest("label").hidden = !mayPair;
    sides.addEventListener("change", () => {
      const other = words.groups.find((group) => group !== state.panes[0].group) ?? words.groups[0];
      state.panes = sides.checked ? [state.panes[0], pane(other)] : [state.panes.at(-1)];
      if (!sides.checked) {
        state.part = "all";
        app.querySelector('input[name="explorer-part"][value="all"]').checked = true;
      }
      build();
    });
    const set = (present) => () => {
      state.present = present();
      update();
    };
    byId("all").addEventListener("click", set(() => everyone));
    byId("none").addEventListener("click", set(() => 0));
    byId("only").addEventListener("click", set(() => (shownItem() ? shownItem().coalition : state.present)));
    byId("list").addEventListener("keydown", (event) => roving(byId("list"), event, ["ArrowDown"], ["ArrowUp"]));
    app.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      Object.assign(state, { lit: null, pinned: null });
      mark();
    });
    // As chosen when a page is opened again from the browser's history.
    for (const form of app.querySelectorAll("form")) form.reset();
    threshold.value = 100 * state.threshold;
    sides.checked = state.panes.length > 1;
    build();
    app.hidden = false;
    document.getElementById("explorer-table").hidden = true;
  }

  start();
})();
