// Buttons that copy what is cut or long, and a field that narrows a list on the page. Pages say everything without them.
"use strict";

for (const shown of document.querySelectorAll("code[data-copy]")) {
	if (!navigator.clipboard) continue;
	const button = document.createElement("button");
	button.type = "button";
	button.className = "copy";
	button.textContent = "Copy";
	button.setAttribute("aria-label", "Copy " + shown.dataset.copy);
	button.addEventListener("click", async () => {
		await navigator.clipboard.writeText(shown.dataset.copy);
		button.textContent = "Copied";
		setTimeout(() => { button.textContent = "Copy"; }, 2000);
	});
	(shown.closest("a") || shown).after(button);
}

for (const list of document.querySelectorAll("[data-filter]")) {
	const rows = list.querySelectorAll("tbody > tr, :scope > li");
	if (rows.length < 10) continue;
	const label = document.createElement("label");
	label.className = "narrow";
	label.textContent = list.dataset.filter + " ";
	const field = document.createElement("input");
	field.type = "search";
	label.append(field);
	field.addEventListener("input", () => {
		const want = field.value.toLowerCase();
		for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(want);
	});
	list.before(label);
}
