// The page is whole without this: it adds two buttons to each row of switches
// and opens what is folded before the page is printed.
for (const row of document.querySelectorAll(".switches")) {
  for (const [text, on] of [["all", true], ["none", false]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => row.querySelectorAll("input").forEach(input => { input.checked = on; }));
    row.append(button);
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(d => { d.open = true; }));
