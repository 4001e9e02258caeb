// The editor of rich texts: `<div data-rich>` of the component rich_text. Without it the text area stands as it is.
// The HTML is cleaned here for the page's own sake; what leaves is cleaned by the server, which trusts none of this.
"use strict";

const KEPT_TAGS = new Set(
  ("A B BLOCKQUOTE BR CODE DIV EM H1 H2 H3 H4 H5 H6 HR I IMG LI OL P PRE S STRONG SUB SUP TABLE TBODY TD TFOOT TH THEAD TR" +
   " U UL").split(" "),
);
const LOST_TAGS = new Set(["SCRIPT", "STYLE", "TITLE", "TEMPLATE", "NOSCRIPT", "IFRAME", "OBJECT", "SVG", "MATH", "SELECT", "TEXTAREA", "HEAD"]);
const SAFE_LINK = /^(https?:\/\/|mailto:|tel:)/i;
const PICTURE_TYPES = ["image/jpeg", "image/png", "image/gif"];
const MOST_BYTES = 25 * 1024 * 1024;
const FORMATS = { bold: "B", italic: "I", underline: "U", list: "UL", numbers: "OL", quote: "BLOCKQUOTE", link: "A" };

function escapeText(text) {
  const place = document.createElement("p");
  place.textContent = text;
  return place.innerHTML;
}

// Lines as blocks; spaces that HTML would swallow stay.
function blocksOf(text) {
  const line = (words) => escapeText(words).replace(/^ /, "\u00a0").replace(/ {2}/g, " \u00a0") || "<br>";
  return text.split(/\r?\n/).map((words) => `<div>${line(words)}</div>`).join("");
}

class RichText {
  constructor(box) {
    this.box = box;
    this.plain = box.querySelector("textarea");
    this.surface = box.querySelector(".rich-text");
    this.tools = [...box.querySelectorAll("[data-tool]")];
    this.linkRow = box.querySelector(".rich-link");
    this.said = box.querySelector(".rich-said");
    this.html = box.querySelector("input[type=hidden]").name;
    this.files = box.querySelector("input[type=file]");
    this.pictures = new Map(Object.entries(JSON.parse(box.dataset.kept || "{}")).map(([name, url]) => [name, { url }]));
    this.lost = false;
    this.takePlace();
    this.editor = new Squire(this.surface, {
      blockTag: "DIV",
      addLinks: false,
      undo: { documentSizeThreshold: 1_000_000, undoLimit: 10 },
      sanitizeToDOMFragment: (html) => this.sanitized(html),
    });
    this.editor.setHTML(box.dataset.html || blocksOf(this.plain.value));
    this.surface.style.minHeight = this.height;
    ["Tab", "Shift-Tab", "PageUp", "PageDown", "Ctrl-d", "Meta-d"].forEach((key) => this.editor.setKeyHandler(key, null));
    this.listen();
    if (this.lost) this.say("Pictures are not kept here. Insert them again where they belong.");
  }

  // The surface stands where the text area stood, also for its label and for links to its errors.
  takePlace() {
    const { id } = this.plain;
    this.height = `${this.plain.offsetHeight}px`;
    this.plain.id = `${id}-plain`;
    this.plain.hidden = true;
    const label = document.querySelector(`label[for="${id}"]`);
    label.id = `${id}-label`;
    label.addEventListener("click", () => this.editor.focus());
    const attributes = { id, role: "textbox", "aria-multiline": "true", "aria-labelledby": label.id, spellcheck: "true" };
    Object.entries(attributes).forEach(([name, value]) => this.surface.setAttribute(name, value));
    for (const name of ["aria-describedby", "aria-invalid"]) {
      if (this.plain.hasAttribute(name)) this.surface.setAttribute(name, this.plain.getAttribute(name));
    }
    this.surface.hidden = this.tools[0].parentElement.hidden = false;
  }

  listen() {
    this.editor.addEventListener("pathChange", () => this.showState());
    this.editor.addEventListener("input", () => this.showState());
    this.editor.addEventListener("pasteImage", (event) => this.insertPictures(event.detail.clipboardData.files));
    this.editor.addEventListener("undoStateChange", (event) => {
      this.tool("undo").disabled = !event.detail.canUndo;
      this.tool("redo").disabled = !event.detail.canRedo;
    });
    this.tool("undo").disabled = this.tool("redo").disabled = true;
    this.surface.addEventListener("click", (event) => {
      if (event.target.nodeName === "IMG") event.stopPropagation();  // or the library would offer handles to resize it
      if (event.target.closest("a")) event.preventDefault();
    });
    this.surface.addEventListener("drop", (event) => {
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      this.insertPictures(event.dataTransfer.files);
    }, true);
    this.tools.forEach((tool) => tool.addEventListener("click", () => this.press(tool.dataset.tool)));
    this.tools[0].parentElement.addEventListener("keydown", (event) => this.walk(event));
    this.linkRow.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.type === "url") { event.preventDefault(); this.setLink(); }
      if (event.key === "Escape") { event.stopPropagation(); this.closeLink(); }
    });
    this.box.querySelector('[data-link="set"]').addEventListener("click", () => this.setLink());
    this.box.querySelector('[data-link="remove"]').addEventListener("click", () => {
      this.editor.removeLink();
      this.closeLink();
      this.noteChange();
    });
    if (this.files) this.files.addEventListener("change", () => { this.insertPictures(this.files.files); this.files.value = ""; });
    this.plain.form.addEventListener("submit", (event) => this.refuseTooLarge(event), true);
    this.plain.form.addEventListener("formdata", (event) => this.fill(event.formData));
  }

  // What the tools changed; typing says so by itself.
  noteChange() {
    this.showState();
    this.surface.dispatchEvent(new Event("change", { bubbles: true }));
  }

  tool(name) {
    return this.tools.find((tool) => tool.dataset.tool === name);
  }

  say(words) {
    this.said.textContent = words;
    this.said.hidden = !words;
  }

  // One stop in the order of Tab; the arrows walk within (WAI-ARIA toolbar).
  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -99, End: 99 }[event.key];
    if (!step) return;
    event.preventDefault();
    const usable = this.tools.filter((tool) => !tool.disabled);
    const next = Math.min(usable.length - 1, Math.max(0, usable.indexOf(document.activeElement) + step));
    this.tools.forEach((tool) => { tool.tabIndex = -1; });
    usable[next].tabIndex = 0;
    usable[next].focus();
  }

  has(name) {
    const tag = FORMATS[name];
    if (!["list", "numbers", "quote"].includes(name)) return this.editor.hasFormat(tag);
    const at = this.editor.getSelection().commonAncestorContainer;
    const found = (at.nodeType === Node.ELEMENT_NODE ? at : at.parentElement)?.closest(tag);
    return Boolean(found && this.surface.contains(found));
  }

  showState() {
    this.tools.filter((tool) => tool.dataset.tool in FORMATS)
      .forEach((tool) => tool.setAttribute("aria-pressed", String(this.has(tool.dataset.tool))));
  }

  press(name) {
    const { editor } = this;
    const isOn = name in FORMATS && this.has(name);
    const acts = {
      bold: () => (isOn ? editor.removeBold() : editor.bold()),
      italic: () => (isOn ? editor.removeItalic() : editor.italic()),
      underline: () => (isOn ? editor.removeUnderline() : editor.underline()),
      list: () => (isOn ? editor.removeList() : editor.makeUnorderedList()),
      numbers: () => (isOn ? editor.removeList() : editor.makeOrderedList()),
      quote: () => (isOn ? editor.decreaseQuoteLevel() : editor.increaseQuoteLevel()),
      link: () => this.openLink(),
      undo: () => editor.undo(),
      redo: () => editor.redo(),
      picture: () => this.files.click(),
    };
    acts[name]();
    this.noteChange();
  }

  openLink() {
    const at = this.editor.getSelection().commonAncestorContainer;
    const found = (at.nodeType === Node.ELEMENT_NODE ? at : at.parentElement)?.closest("a");
    const field = this.linkRow.querySelector("input");
    field.value = found ? found.getAttribute("href") : "";
    this.linkRow.hidden = false;
    field.focus();
  }

  closeLink() {
    this.linkRow.hidden = true;
    this.say("");
    this.editor.focus();
  }

  setLink() {
    const typed = this.linkRow.querySelector("input").value.trim();
    const guessed = SAFE_LINK.test(typed) ? typed : typed.includes("@") ? `mailto:${typed}` : `https://${typed}`;
    if (!typed || /\s/.test(typed) || (/^[a-z][a-z0-9+.-]*:/i.test(typed) && guessed !== typed)) {
      this.say("Type the whole address of a page, such as https://example.com, or a mail address.");
      return;
    }
    this.editor.focus();
    this.editor.makeLink(guessed);
    const after = this.editor.getSelection();
    after.collapse(false);  // so that the next key does not write over the link
    this.editor.setSelection(after);
    this.closeLink();
    this.noteChange();
  }

  insertPictures(files) {
    for (const file of files) {
      if (!this.files || !PICTURE_TYPES.includes(file.type)) {
        this.say(`${file.name} is no JPEG, PNG or GIF. Attach it as a file instead.`);
        continue;
      }
      const reader = new FileReader();
      reader.addEventListener("load", () => {
        const name = `added-${this.pictures.size}`;
        this.pictures.set(name, { url: reader.result, file });
        this.editor.focus();
        this.editor.insertImage(reader.result, { alt: file.name, "data-cid": name });
        this.noteChange();
      });
      reader.readAsDataURL(file);
    }
  }

  // Foreign HTML as nodes: known tags, links that say their scheme, pictures that came with this form.
  sanitized(html) {
    const clean = document.createDocumentFragment();
    this.copy(new DOMParser().parseFromString(html, "text/html").body, clean);  // a document where nothing runs or loads
    return clean;
  }

  copy(from, to) {
    for (const node of from.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
      if (node.nodeType !== Node.ELEMENT_NODE || LOST_TAGS.has(node.nodeName.toUpperCase())) continue;
      const isBare = node.nodeName === "A" && !SAFE_LINK.test(node.getAttribute("href") || "");
      const made = KEPT_TAGS.has(node.nodeName) && !isBare ? this.made(node) : to;
      if (!made) continue;
      if (made !== to) to.append(made);
      this.copy(node, made);
    }
  }

  made(node) {
    const made = document.createElement(node.nodeName);
    if (node.nodeName === "A") made.href = node.getAttribute("href");
    if (node.nodeName === "IMG") {
      const name = node.dataset.cid || (node.getAttribute("src") || "").replace(/^cid:/, "");
      if (!this.pictures.has(name)) {
        this.lost ||= (node.getAttribute("src") || "").startsWith("cid:");
        return null;
      }
      made.src = this.pictures.get(name).url;
      made.alt = node.alt;
      made.dataset.cid = name;
    }
    return made;
  }

  // What is sent or kept as a draft: HTML that names its pictures by position, these pictures, and the text in words.
  fill(data) {
    const copy = document.implementation.createHTMLDocument("").body;  // where no picture is looked for
    copy.append(this.sanitized(this.editor.getHTML()));
    const files = this.nameByPosition(copy);
    this.plain.value = this.words(copy);
    data.set(this.plain.name, this.plain.value);
    data.set(this.html, copy.innerHTML.replace(/\u200b/g, ""));
    if (!this.files) return;
    data.delete(this.files.name);
    files.forEach((file) => data.append(this.files.name, file));
  }

  nameByPosition(copy) {
    const files = [];
    for (const image of copy.querySelectorAll("img")) {
      const name = image.dataset.cid;
      const { file } = this.pictures.get(name);
      image.setAttribute("src", `cid:${file ? `new-${files.length}` : name}`);
      image.removeAttribute("data-cid");
      if (file) files.push(file);
    }
    return files;
  }

  // Line by line where nothing is formatted; the server makes the words of a formatted text itself.
  words(copy) {
    const blocks = [...copy.children];
    const isPlain = !copy.querySelector(":not(div, br)") && !copy.querySelector("div div");
    const text = isPlain ? blocks.map((block) => block.textContent).join("\n") : this.surface.innerText;
    return text.replace(/\u00a0/g, " ").replace(/\u200b/g, "").slice(0, isPlain ? undefined : 90_000);
  }

  refuseTooLarge(event) {
    const names = [...this.surface.querySelectorAll("img")].map((image) => image.dataset.cid);
    const pictures = names.map((name) => this.pictures.get(name)?.file).filter(Boolean);
    const others = [...this.plain.form.querySelectorAll("input[type=file]")].filter((field) => field !== this.files);
    const all = [...pictures, ...others.flatMap((field) => [...field.files])];
    if (all.reduce((sum, file) => sum + file.size, 0) <= MOST_BYTES) return;
    event.preventDefault();
    this.say("The files are over 25 MB together, and mailboxes refuse that. Nothing was sent. Attach less and send again.");
    this.said.scrollIntoView({ block: "center" });
  }
}

document.querySelectorAll("[data-rich]:not([data-ready])").forEach((box) => {
  box.dataset.ready = "1";
  if (globalThis.Squire) new RichText(box);
});
