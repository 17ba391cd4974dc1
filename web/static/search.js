// Suggestions below the search field, as one types: a combobox with a list (WAI-ARIA 1.2). Without this, the field is a form.
"use strict";

(() => {
	const field = document.getElementById("q");
	const form = field && field.form;
	if (!form || !form.dataset.suggest) return; // strangers sign in first
	const wait = 150, least = 2, most = 5;

	const list = document.createElement("ul");
	list.id = "suggestions";
	list.className = "suggestions";
	list.setAttribute("role", "listbox");
	list.setAttribute("aria-label", "Suggestions");
	list.hidden = true;
	const status = document.createElement("p");
	status.className = "hidden";
	status.setAttribute("role", "status");
	form.append(list, status);
	for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) {
		field.setAttribute(name, value);
	}

	// What nobody sees, or turns the direction of text, is written as its code point, as the pages do.
	const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]/gu, (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
	const path = (text) => text.split("/").map(encodeURIComponent).join("/");
	const short = (digest) => digest.slice(0, digest.indexOf(":") + 13);

	// suggestions are what an answer of /api/v1/search has, as entries of one list: an address, a text, and what it is.
	const suggestions = (found) => [
		...(found.repositories || []).map((name) => ["/r/" + path(name), name, "repository"]),
		...(found.tags || []).map((t) => ["/r/" + path(t.repository) + ":" + encodeURIComponent(t.tag), t.repository + ":" + t.tag, "tag"]),
		...(found.images || []).filter((i) => i.present).map((i) => ["/r/" + path(i.repository) + "@" + i.digest, i.repository + "@" + short(i.digest), "image, by " + i.by + ", " + i.class]),
		...(found.people || []).map((p) => [p.kind === "team" ? "/search?q=" + encodeURIComponent(p.name) : "/-/records?identity=" + encodeURIComponent(p.name), p.name, p.kind]),
		...(found.records || []).slice(0, 3).map((r) => ["/-/record/" + r.index, "record " + r.index, r.action + (r.repository ? " in " + r.repository : "")]),
	];

	let active = -1, timer = 0, asked = null, leaving = false;

	const open = (option) => {
		leaving = true; // what else the key or the click would do
		location.assign(option.dataset.address);
	};

	const choose = (index) => {
		const options = list.children;
		if (options[active]) options[active].setAttribute("aria-selected", "false");
		active = index;
		field.removeAttribute("aria-activedescendant");
		if (!options[active]) return;
		options[active].setAttribute("aria-selected", "true");
		options[active].scrollIntoView({ block: "nearest" });
		field.setAttribute("aria-activedescendant", options[active].id);
	};

	const close = () => {
		clearTimeout(timer);
		if (asked) asked.abort();
		asked = null;
		choose(-1);
		list.hidden = true;
		list.replaceChildren();
		field.setAttribute("aria-expanded", "false");
		status.textContent = "";
	};

	const show = (entries, more) => {
		choose(-1);
		list.replaceChildren(...entries.map(([address, text, kind], i) => {
			const option = document.createElement("li");
			option.id = "suggestion-" + i;
			option.setAttribute("role", "option");
			option.setAttribute("aria-selected", "false");
			option.dataset.address = address;
			const what = document.createElement("span");
			what.className = "kind";
			what.textContent = plain(kind);
			option.append(plain(text) + " ", what);
			return option;
		}));
		list.hidden = entries.length === 0;
		field.setAttribute("aria-expanded", String(entries.length > 0));
		status.textContent = entries.length === 0 ? "No suggestions" : entries.length + (entries.length === 1 ? " suggestion" : " suggestions") + (more ? ", and there are more" : "");
	};

	const ask = async (text) => {
		const mine = asked = new AbortController();
		try {
			const answer = await fetch(form.dataset.suggest + "?limit=" + most + "&q=" + encodeURIComponent(text), { headers: { Accept: "application/json" }, signal: mine.signal });
			const found = answer.ok ? await answer.json() : null;
			if (mine.signal.aborted) return;
			if (!found) close(); // the list is of what was typed before
			else if (document.activeElement === field) show(suggestions(found), Boolean(found.more));
		} catch {
			// There is no connection, or what was typed next ended it. The form works all the same.
			if (!mine.signal.aborted) close();
		}
	};

	field.addEventListener("input", () => {
		const text = field.value.trim();
		clearTimeout(timer);
		if (asked) asked.abort();
		choose(-1); // it was of another text
		if (text.length < least) return close();
		timer = setTimeout(() => ask(text), wait);
	});
	field.addEventListener("keydown", (event) => {
		const n = list.children.length;
		if (event.key === "Escape" && !list.hidden) {
			event.preventDefault(); // else the field is emptied, too
			return close();
		}
		if (n === 0 || event.isComposing) return;
		if (event.key === "ArrowDown") choose(active + 1 < n ? active + 1 : -1);
		else if (event.key === "ArrowUp") choose(active < 0 ? n - 1 : active - 1);
		else if (event.key === "Enter" && active >= 0) open(list.children[active]);
		else return;
		event.preventDefault();
	});
	list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
	list.addEventListener("click", (event) => {
		const option = event.target.closest("[role=option]");
		if (option) open(option);
	});
	field.addEventListener("blur", close);
	form.addEventListener("submit", (event) => {
		if (leaving) event.preventDefault();
		close();
	});
	// Whoever stopped the browser on its way there searches again by another key or click.
	for (const what of ["keydown", "pointerdown"]) form.addEventListener(what, () => { leaving = false; }, true);
	window.addEventListener("pageshow", () => { leaving = false; }); // also when one comes back
})();
