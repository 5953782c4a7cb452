const said = () => [...document.querySelectorAll("#detail .run dd")][0];
found.title = document.title;
found.said = [0, 1, 2, 3].map((place) => {
  document.getElementById("list").scrollTop = 0;
  byId("row-" + place).click();
  return said().textContent;
});
said().querySelector("button").click();
found.all = said().textContent.length;
found.longest_in_list = Math.max(...[...document.querySelectorAll(".row")].map((row) => row.textContent.length));
found.owned = window.owned ?? null;
found.pictures = document.querySelectorAll('img[src="nowhere"]').length;
found.scripts = document.scripts.length;
found.run = document.querySelector("#summary td").textContent;
