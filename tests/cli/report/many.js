document.body.offsetHeight;
found.loaded = performance.now();
found.all = byId("count").textContent;
const timed = (act) => median(Array.from({ length: 5 }, (_, n) => {
  const start = performance.now();
  act(n);
  document.body.offsetHeight;
  return performance.now() - start;
}));
const words = ["dog", "cat", "red", "thing 7", "picture"];
found.search = timed((n) => set("query", words[n]));
set("query", "");
const outcomes = ["wrong", "right", "flipped", "became-wrong", "all"];
found.outcome = timed((n) => set("outcome", outcomes[n]));
found.run = timed((n) => set("run", String(n % 2)));
byId("list").focus();
found.end = timed((n) => press(n % 2 ? "Home" : "End"));
found.drawn = document.querySelectorAll(".row").length;
