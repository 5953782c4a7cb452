"use strict";
// Shows the samples: filters, a list that draws only the rows in sight, one sample in full. Text from data enters the
// page as text nodes only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SHORT = 300; // letters of a text in the list
  const LONG = 2000; // letters of a text in full view before "show all"
  const BEYOND = 4; // rows drawn out of sight, at either end

  const element = (id) => document.getElementById(id);
  const [list, rowsElement, detail, count] = ["list", "window", "detail", "count"].map(element);
  const [query, benchmarkChoice, runChoice, categoryChoice, outcomeChoice] =
    ["query", "benchmark", "run", "category", "outcome"].map(element);

  let benchmark = data.benchmarks[0];
  let run = 0;
  let order = []; // every sample of the benchmark, as this run shows them
  let positions = []; // samples that pass the filters, in the order shown
  let chosen = 0; // place in `positions`

  const text = (number) => (number === null || number === undefined ? null : data.texts[number]);

  function make(tag, className, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined && content !== null) made.append(content);
    return made;
  }

  // --- what became of a sample

  const score = (number, sample) => benchmark.runs[number].score[sample];

  function change(sample) {
    const [before, after] = [score(0, sample), score(run, sample)];
    return run === 0 || before === null || after === null ? 0 : after - before;
  }

  const OUTCOMES = [
    ["all", "all samples", () => true],
    ["right", "right", (sample) => score(run, sample) === 1],
    ["wrong", "wrong", (sample) => score(run, sample) === 0],
    ["partly", "partly right", (sample) => score(run, sample) > 0 && score(run, sample) < 1],
    ["none", "without a score", (sample) => score(run, sample) === null],
    ["flipped", "flipped", (sample) => change(sample) !== 0],
    ["became-wrong", "became wrong", (sample) => change(sample) < 0],
    ["became-right", "became right", (sample) => change(sample) > 0],
  ];

  function verdict(value) {
    if (value === null) return ["muted", "– no score"];
    if (value === 1) return ["good", "✓ right"];
    if (value === 0) return ["bad", "✗ wrong"];
    return ["partly", `◐ ${value.toFixed(2)}`];
  }

  // --- filters

  let lowered = null;

  // For every text, whether it holds the words searched for.
  function found(words) {
    lowered ??= data.texts.map((one) => one.toLowerCase());
    const wanted = words.toLowerCase();
    return Uint8Array.from(lowered, (one) => (one.includes(wanted) ? 1 : 0));
  }

  function matcher() {
    const words = query.value.trim();
    if (words === "") return () => true;
    const hit = found(words);
    const columns = [benchmark.id, benchmark.category, benchmark.question, benchmark.reference];
    for (const one of benchmark.runs) columns.push(one.prompt, one.answer, one.parsed, one.error);
    return (sample) => columns.some((column) => column[sample] !== null && hit[column[sample]] === 1);
  }

  function filter() {
    const category = categoryChoice.value === "" ? null : Number(categoryChoice.value);
    const outcome = OUTCOMES.find(([name]) => name === outcomeChoice.value)[2];
    const matches = matcher();
    positions = order.filter((sample) =>
      (category === null || benchmark.category[sample] === category) && outcome(sample) && matches(sample));
    count.textContent = `${positions.length.toLocaleString("en")} of ${benchmark.id.length.toLocaleString("en")} samples`;
    rowsElement.style.height = `${positions.length * rowHeight()}px`;
    list.setAttribute("aria-rowcount", positions.length);
    list.scrollTop = 0;
    choose(0);
  }

  // All samples in the order shown. Flips first: losses, the largest first, then gains, then what stayed.
  function ordered() {
    const all = Array.from(benchmark.id, (_, sample) => sample);
    if (run === 0) return all;
    const by = all.map(change);
    const losses = all.filter((sample) => by[sample] < 0).sort((a, b) => by[a] - by[b] || a - b);
    const gains = all.filter((sample) => by[sample] > 0).sort((a, b) => by[b] - by[a] || a - b);
    return [...losses, ...gains, ...all.filter((sample) => by[sample] === 0)];
  }

  function options(select, entries) {
    select.replaceChildren(...entries.map(([value, label]) => new Option(label, value)));
    select.parentElement.hidden = entries.length < 2;
  }

  function showBenchmark(number) {
    benchmark = data.benchmarks[number];
    benchmarkChoice.value = number;
    options(runChoice, benchmark.runs.map((one, position) => [position, one.name]));
    const categories = [...new Set(benchmark.category)].filter((one) => one !== null);
    categories.sort((a, b) => text(a).localeCompare(text(b)));
    options(categoryChoice, [["", "all"], ...categories.map((one) => [one, text(one)])]);
    showRun(benchmark.runs.length - 1);
  }

  function showRun(number) {
    run = number;
    runChoice.value = number;
    order = ordered();
    const kept = outcomeChoice.value;
    const offered = OUTCOMES.slice(0, run === 0 ? 5 : 8);
    options(outcomeChoice, offered);
    outcomeChoice.value = offered.some(([name]) => name === kept) ? kept : "all";
  }

  // --- list

  const rowHeight = () => parseFloat(getComputedStyle(list).getPropertyValue("--row"));
  const rowId = (place) => `row-${place}`;

  function short(content) {
    return content.length > SHORT ? `${content.slice(0, SHORT)}…` : content;
  }

  function picture(number, lazy) {
    const { key, source, reason } = data.pictures[number];
    if (source === null) {
      const absent = make("span", "absent", lazy ? "no picture" : `${key}: picture not at hand (${reason})`);
      absent.title = `${key}: ${reason}`;
      return absent;
    }
    const image = new Image();
    image.decoding = "async";
    image.alt = `picture ${key}`;
    image.src = source;
    return image;
  }

  function answer(number, sample) {
    const one = benchmark.runs[number];
    return text(one.answer[sample]) ?? (one.error[sample] === null ? "not asked" : `failed: ${text(one.error[sample])}`);
  }

  function cell(className, ...content) {
    const made = make("div", className);
    made.setAttribute("role", "gridcell");
    made.append(...content);
    return made;
  }

  function row(place) {
    const sample = positions[place];
    const made = make("div", "row");
    made.id = rowId(place);
    made.style.top = `${place * rowHeight()}px`;
    made.setAttribute("role", "row");
    made.setAttribute("aria-rowindex", place + 1);
    made.setAttribute("aria-selected", place === chosen);
    const shown = benchmark.pictures[sample];
    const thumb = shown.length > 0 ? picture(shown[0], true) : make("span", "", "no picture");
    const [kind, label] = verdict(score(run, sample));
    const outcome = [make("div", kind, label)];
    if (change(sample) !== 0) outcome.push(make("div", "muted", `was ${verdict(score(0, sample))[1]}`));
    const category = text(benchmark.category[sample]);
    const said = [make("div", "clip", short(answer(run, sample)))];
    const reference = text(benchmark.reference[sample]);
    if (reference !== null) said.push(make("div", "one muted", `reference: ${short(reference)}`));
    made.append(
      cell("thumb", thumb),
      cell("asked", make("div", "clip", short(text(benchmark.question[sample]))),
        make("div", "one muted", category === null ? text(benchmark.id[sample]) : `${category} · ${text(benchmark.id[sample])}`)),
      cell("said", ...said),
      cell("outcome", ...outcome),
    );
    made.addEventListener("click", () => { choose(place); open(); });
    return made;
  }

  function draw() {
    const height = rowHeight();
    const first = Math.max(0, Math.floor(list.scrollTop / height) - BEYOND);
    const last = Math.min(positions.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + BEYOND);
    const drawn = [];
    for (let place = first; place < last; place++) drawn.push(row(place));
    if (positions.length === 0) drawn.push(make("p", "empty muted", "no sample passes these filters"));
    rowsElement.replaceChildren(...drawn);
  }

  function choose(place) {
    chosen = Math.max(0, Math.min(place, positions.length - 1));
    const height = rowHeight();
    const [top, bottom] = [chosen * height, (chosen + 1) * height];
    if (top < list.scrollTop) list.scrollTop = top;
    if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    draw();
    if (positions.length > 0) list.setAttribute("aria-activedescendant", rowId(chosen));
    else list.removeAttribute("aria-activedescendant");
    showDetail();
  }

  // --- one sample

  function full(content) {
    const made = make("dd");
    if (content.length <= LONG) {
      made.append(content);
      return made;
    }
    const button = make("button", "", `show all ${content.length.toLocaleString("en")} letters`);
    button.type = "button";
    button.addEventListener("click", () => made.replaceChildren(content));
    made.append(`${content.slice(0, LONG)}… `, button);
    return made;
  }

  function facts(entries) {
    const made = make("dl");
    for (const [name, content] of entries) {
      if (content !== null) made.append(make("dt", "", name), full(content));
    }
    return made;
  }

  function showDetail() {
    const close = make("button", "close", "close");
    close.type = "button";
    close.addEventListener("click", shut);
    if (positions.length === 0) {
      detail.replaceChildren(close, make("p", "muted", "no sample"));
      return;
    }
    const sample = positions[chosen];
    const pictures = make("div", "pictures");
    pictures.append(...benchmark.pictures[sample].map((one) => picture(one, false)));
    const prompts = new Set(benchmark.runs.map((one) => one.prompt[sample]).filter((one) => one !== null));
    const parts = [
      close,
      make("h3", "", text(benchmark.id[sample])),
      pictures,
      facts([
        ["category", text(benchmark.category[sample])],
        ["question", text(benchmark.question[sample])],
        ["prompt", prompts.size === 1 ? text([...prompts][0]) : null],
        ["reference", text(benchmark.reference[sample])],
      ]),
    ];
    benchmark.runs.forEach((one, number) => {
      const part = make("section", "run");
      const [kind, label] = verdict(one.score[sample]);
      part.append(make("h4", "", one.name), make("p", kind, label), facts([
        ["prompt", prompts.size > 1 ? text(one.prompt[sample]) : null],
        ["answer", answer(number, sample)],
        ["read as", text(one.parsed[sample])],
      ]));
      parts.push(part);
    });
    detail.replaceChildren(...parts);
    detail.scrollTop = 0;
  }

  // Where the page is narrow, a sample covers it.
  function open() {
    detail.classList.add("open");
    if (getComputedStyle(detail).position === "fixed") detail.focus();
  }

  function shut() {
    detail.classList.remove("open");
    list.focus({ preventScroll: true });
  }

  // --- events

  const typing = (target) => ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName);
  const page = () => Math.max(1, Math.floor(list.clientHeight / rowHeight()) - 1);
  const MOVES = {
    j: () => chosen + 1,
    k: () => chosen - 1,
    ArrowDown: () => chosen + 1,
    ArrowUp: () => chosen - 1,
    PageDown: () => chosen + page(),
    PageUp: () => chosen - page(),
    Home: () => 0,
    End: () => positions.length - 1,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      shut();
    } else if (typing(event.target)) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      query.focus();
    } else if (event.key === "Enter" && event.target === list) {
      open();
    } else if (event.key in MOVES) {
      // Arrows and the like scroll the page unless the list has the focus; j and k work everywhere.
      const inside = list.contains(event.target) || detail.contains(event.target);
      if (event.key.length > 1 && !inside) return;
      if (event.key.length > 1 && detail.contains(event.target) && !event.key.startsWith("Arrow")) return;
      event.preventDefault();
      choose(MOVES[event.key]());
    }
  });

  query.addEventListener("input", filter);
  benchmarkChoice.addEventListener("change", () => { showBenchmark(Number(benchmarkChoice.value)); filter(); });
  runChoice.addEventListener("change", () => { showRun(Number(runChoice.value)); filter(); });
  categoryChoice.addEventListener("change", filter);
  outcomeChoice.addEventListener("change", filter);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", draw, { passive: true });
  window.addEventListener("resize", () => { rowsElement.style.height = `${positions.length * rowHeight()}px`; draw(); });

  for (const button of document.querySelectorAll("button[data-outcome]")) {
    button.addEventListener("click", () => {
      showBenchmark(Number(button.dataset.benchmark));
      showRun(Number(button.dataset.run));
      query.value = "";
      outcomeChoice.value = button.dataset.outcome;
      filter();
      element("samples").scrollIntoView();
      list.focus({ preventScroll: true });
    });
  }

  options(benchmarkChoice, data.benchmarks.map((one, number) => [number, one.name]));
  showBenchmark(0);
  filter();
})();
