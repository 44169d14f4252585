// Behaviour of the page. Gradio carries values to and from the server. Each part is mounted here and draws the JSON that
// the server sends; the HTML in it comes from templates that escape every value.
(() => {
  "use strict";

  const parts = {};
  let waiting = 0; // number of events without an answer
  let waitingTimer = 0;
  let turn = 0; // number of the latest search; answers to earlier ones are dropped
  let drawn = 0; // number of the search whose results are shown
  let repeated = 0;

  const read = (value) => {
    try {
      return value ? JSON.parse(value) : {};
    } catch {
      return {};
    }
  };

  const showWaiting = () => document.body.classList.toggle("is-busy", waiting > 0);

  const busy = () => {
    waiting += 1;
    showWaiting();
    clearTimeout(waitingTimer);
    waitingTimer = setTimeout(() => {
      waiting = 0;
      showWaiting();
    }, 30000);
  };

  const idle = () => {
    waiting = Math.max(waiting - 1, 0);
    showWaiting();
    setTimeout(() => {
      // The answer to an older search arrived last: search again, once.
      if (waiting === 0 && drawn < turn && repeated < turn) {
        repeated = turn + 1;
        parts.again();
      }
    }, 200);
  };

  const isLate = (sent) => sent.turn !== undefined && sent.turn < turn;

  // One listener serves all buttons of a part: `data-action` names the action.
  const onAction = (root, actions) => {
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      const act = button && root.contains(button) && actions[button.dataset.action];
      if (act) act(button, event);
    });
  };

  const keyOf = (element) => element.closest("[data-key]").dataset.key;

  const MOST_PREVIEWS = 20; // pictures that were sent and are still shown when the visitor goes back to them

  // Picture formats that a browser may not recognise or display.
  const OTHER_PICTURES = [
    ".heic", ".heif", ".svg", ".svgz", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef",
  ];

  // --- the picture to search with: chosen, dropped anywhere on the page, or pasted ---------------------------------

  const sendPicture = async (file) => {
    const form = new FormData();
    form.append("files", file);
    const answer = await fetch("gradio_api/upload", { method: "POST", body: form });
    const reply = await answer.json();
    if (!answer.ok) throw new Error(reply.error.message);
    return reply[0];
  };

  const subject = ({ root, props, trigger, watch }) => {
    root.innerHTML =
      '<label class="subject-add" title="Search with a picture">' +
      '<input type="file" accept="image/*' + ["", ...OTHER_PICTURES].join(",") + '" aria-label="Search with a picture">' +
      '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 8.5A2.5 2.5 0 0 1 6.5 6h1.2l1.2-1.8A1.5 1.5 0 0 1 ' +
      '10.1 3.5h3.8a1.5 1.5 0 0 1 1.2.7L16.3 6h1.2A2.5 2.5 0 0 1 20 8.5v9a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 4 ' +
      '17.5z"/><circle cx="12" cy="13" r="3.5"/></svg></label>' +
      '<span class="subject-chip" hidden><span class="subject-picture"></span><span class="subject-name"></span>' +
      '<button type="button" data-action="remove" aria-label="Remove the picture">×</button></span>' +
      '<span class="subject-problem" role="alert"></span>';
    const [add, chip, picture, name, problem] = [
      ".subject-add", ".subject-chip", ".subject-picture", ".subject-name", ".subject-problem",
    ].map((one) => root.querySelector(one));
    const input = root.querySelector("input");
    const sent = new Map(); // name and address of each picture that was sent, by its id

    const show = (source, text) => {
      chip.hidden = !text;
      add.hidden = Boolean(text);
      name.textContent = text || "";
      picture.replaceChildren();
      if (source) picture.append(Object.assign(new Image(), { src: source, alt: "", onerror() { this.remove(); } }));
      document.body.classList.toggle("has-subject", Boolean(text));
    };

    const search = async (file) => {
      problem.textContent = "";
      busy();
      try {
        const picture = await sendPicture(file);
        sent.set(picture, [URL.createObjectURL(file), file.name || "Pasted picture"]);
        for (const [old, [address]] of [...sent].slice(0, -MOST_PREVIEWS)) {
          URL.revokeObjectURL(address);
          sent.delete(old);
        }
        show(...sent.get(picture));
        props.value = JSON.stringify({ picture });
        trigger("input");
      } catch (error) {
        problem.textContent = `The picture could not be sent. ${error.message}`;
        setTimeout(() => (problem.textContent = ""), 8000);
      }
      idle();
      input.value = "";
    };

    const isPicture = ({ type, name }) =>
      type.startsWith("image/") || OTHER_PICTURES.some((suffix) => name.toLowerCase().endsWith(suffix));
    const firstPicture = (list) => [...(list || [])].find(isPicture);
    input.addEventListener("change", () => input.files[0] && search(input.files[0]));
    document.addEventListener("paste", (event) => {
      const file = firstPicture(event.clipboardData && event.clipboardData.files);
      if (file) {
        event.preventDefault();
        search(file);
      }
    });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        if (![...(event.dataTransfer ? event.dataTransfer.types : [])].includes("Files")) return;
        event.preventDefault();
        document.body.classList.toggle("is-dropping", kind === "dragover");
        const file = kind === "drop" && firstPicture(event.dataTransfer.files);
        if (file) search(file);
      });
    }
    onAction(root, {
      remove: () => {
        show("", "");
        props.value = "";
        trigger("input");
        input.focus();
      },
    });
    const draw = () => {
      const { key, title, thumbnail, picture } = read(props.value);
      if (picture) show(...(sent.get(picture) || ["", "Picture"]));
      else show(thumbnail || "", key ? title : "");
    };
    parts.subject = ({ key, title, thumbnail, picture }) => {
      props.value = picture ? JSON.stringify({ picture }) : key ? JSON.stringify({ key, title, thumbnail }) : "";
      draw();
    };
    watch("value", draw);
    if (props.value) draw();
  };

  // --- examples ----------------------------------------------------------------------------------------------------

  const examples = ({ root, props, trigger, watch }) => {
    const draw = () => (root.innerHTML = props.value || "");
    onAction(root, {
      words: (button) => trigger("words", { text: button.textContent }),
      like: (button) => trigger("like", { key: keyOf(button) }),
    });
    watch("value", draw);
    draw();
  };

  // --- the filter panel: all ticks and texts become one value ------------------------------------------------------

  const panel = ({ root, props, trigger, watch }) => {
    let chosen = {};

    const gather = () => {
      const found = { values: {}, low: {}, high: {}, expression: "" };
      for (const one of root.querySelectorAll("input[type=checkbox]:checked, [data-find]")) {
        const value = one.value.trim() || (one.type === "checkbox" ? one.value : "");
        if (one.type !== "checkbox" && !value) continue;
        const values = (found.values[one.name] = found.values[one.name] || []);
        if (!values.includes(value)) values.push(value);
        if (one.type !== "checkbox") one.value = "";
      }
      for (const one of root.querySelectorAll("[data-bound]")) {
        if (one.value.trim()) found[one.dataset.bound][one.name] = one.value.trim();
      }
      found.expression = (root.querySelector("[name=expression]:is(textarea)") || { value: "" }).value.trim();
      return found;
    };

    const send = (value) => {
      const text = JSON.stringify(value);
      if (text === JSON.stringify(chosen)) return;
      chosen = value;
      parts.chosen.value = text;
      trigger("input");
    };

    // The panel is redrawn after each search; open groups, the focus and unfinished text are kept.
    const draw = () => {
      const sent = read(props.value);
      if (sent.html === undefined || isLate(sent)) return;
      const groups = (selector) => [...root.querySelectorAll(selector)];
      const open = new Map(groups("details").map((one) => [one.dataset.group, one.open]));
      const scrolled = new Map(groups(".ticks").map((one, place) => [place, one.scrollTop]));
      const expanded = root.querySelector(".panel-toggle[aria-expanded=true]") !== null;
      const focused = root.contains(document.activeElement) ? document.activeElement : null;
      const same = (one) =>
        one.name === focused.name && one.type === focused.type && one.dataset.bound === focused.dataset.bound &&
        (one.type !== "checkbox" || one.value === focused.value) && one.dataset.action === focused.dataset.action;
      root.innerHTML = sent.html;
      for (const one of groups("details")) {
        if (open.has(one.dataset.group)) one.open = open.get(one.dataset.group) || one.querySelector(".problem") !== null;
      }
      groups(".ticks").forEach((one, place) => (one.scrollTop = scrolled.get(place) || 0));
      if (expanded) toggle(true);
      const again = focused && groups("input, textarea, button").find(same);
      if (again) {
        const details = again.closest("details");
        if (details) details.open = true;
        if (/^(text|textarea)$/.test(again.type)) {
          again.value = focused.value;
          again.focus({ preventScroll: true });
          again.setSelectionRange(focused.selectionStart, focused.selectionEnd);
        } else {
          again.focus({ preventScroll: true });
        }
      }
      chosen = gather();
      parts.chosen.value = JSON.stringify(chosen);
    };

    const toggle = (open) => {
      const button = root.querySelector(".panel-toggle");
      const next = open === undefined ? button.getAttribute("aria-expanded") !== "true" : open;
      button.setAttribute("aria-expanded", String(next));
    };

    const clear = () => send({ values: {}, low: {}, high: {}, expression: "" });
    parts.again = () => trigger("input");
    parts.clearFilters = () => {
      for (const one of root.querySelectorAll("textarea, [data-bound]")) one.value = "";
      clear();
    };
    root.addEventListener("change", () => send(gather()));
    root.addEventListener("submit", (event) => event.preventDefault());
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && event.target.matches("textarea, input:not([type=checkbox])")) {
        event.preventDefault();
        send(gather());
      }
    });
    const showResults = () => {
      toggle(false);
      root.querySelector(".panel-toggle").focus({ preventScroll: true });
      document.querySelector("#found").scrollIntoView();
    };
    onAction(root, { toggle: () => toggle(), clear: () => parts.clearFilters(), show: showResults });
    watch("value", draw);
    draw();
  };

  // --- results -----------------------------------------------------------------------------------------------------

  const results = ({ root, props, trigger, watch }) => {
    let recipe = {};
    let next = null;

    const append = (html) => {
      const list = root.querySelector(".cards");
      const known = new Set([...list.children].map((one) => one.dataset.key));
      const added = document.createElement("ul");
      added.innerHTML = html;
      const fresh = [...added.children].filter((one) => !known.has(one.dataset.key));
      list.append(...fresh);
      if (fresh.length) fresh[0].querySelector("button").focus({ preventScroll: true });
    };

    const draw = () => {
      const sent = read(props.value);
      if (sent.html === undefined || isLate(sent)) return;
      next = sent.next;
      drawn = turn;
      if (sent.append) {
        append(sent.html);
        const more = root.querySelector(".more");
        if (more && next === null) more.remove();
      } else {
        root.innerHTML = sent.html;
        recipe = sent.recipe || {};
        if (sent.address !== undefined) remember(sent.address, recipe);
      }
      props.value = "";
    };

    onAction(root, {
      open: (button) => trigger("open", { key: keyOf(button) }),
      similar: (button) => {
        trigger("like", { key: keyOf(button) });
        window.scrollTo({ top: 0, behavior: "smooth" });
      },
      more: () => trigger("more", { recipe: JSON.stringify(recipe), offset: next }),
      clear: () => parts.clearFilters(),
    });
    watch("value", draw);
    draw();
  };

  // --- the window of one item --------------------------------------------------------------------------------------

  const itemWindow = ({ root, props, trigger, watch }) => {
    root.innerHTML = '<dialog aria-labelledby="item-title"><div class="window-body"></div></dialog>';
    const dialog = root.querySelector("dialog");
    const body = root.querySelector(".window-body");
    const close =
      '<button type="button" class="window-close" data-action="close" aria-label="Close">×</button>';
    watch("value", () => {
      const sent = read(props.value);
      if (sent.html === undefined) return;
      body.innerHTML = close + sent.html;
      props.value = "";
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    onAction(dialog, {
      close: () => dialog.close(),
      similar: (button) => {
        dialog.close();
        trigger("like", { key: keyOf(button) });
        window.scrollTo({ top: 0, behavior: "smooth" });
      },
      show: (button) => {
        for (const one of dialog.querySelectorAll("[data-action=show]")) {
          one.setAttribute("aria-pressed", String(one === button));
        }
        dialog.querySelector(".item-main img").src = button.querySelector("img").src;
        const [shown, chosen] = [".item-main .moment", ".item-choices [aria-pressed=true] .moment"].map((one) =>
          dialog.querySelector(one),
        );
        if (shown) shown.remove();
        if (chosen) dialog.querySelector(".item-main").append(chosen.cloneNode(true));
      },
    });
  };

  // --- the browser's history: each search is an entry that holds its recipe --------------------------------------------

  const remember = (address, recipe) => {
    const url = address ? "?" + address : location.pathname;
    const before = history.state && history.state.recipe;
    const picture = (one) => (one && one.subject && one.subject.picture) || "";
    const isSame = !before || (location.search === (address ? url : "") && picture(before) === picture(recipe));
    history[isSame ? "replaceState" : "pushState"]({ recipe }, "", url);
  };

  const type = (selector, text) => {
    const box = document.querySelector(`${selector} :is(input, textarea)`);
    if (!box || box.value === text) return;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  window.addEventListener("popstate", ({ state }) => {
    if (!state || !state.recipe) return location.reload();
    const { text, without, subject, chosen, min_score } = state.recipe;
    type("#words", text);
    type("#without", without);
    type("#min-score", min_score === null ? "" : String(min_score));
    parts.subject(subject);
    parts.chosen.value = JSON.stringify(chosen);
    setTimeout(() => parts.again(), 50); // by then the page has taken over the texts
  });

  const chosenPart = ({ props }) => (parts.chosen = props);

  const mounts = { chosen: chosenPart, subject, examples, panel, results, window: itemWindow };

  // The slider between picture and words is shown only while there are both.
  document.addEventListener("input", (event) => {
    if (event.target.closest("#words")) {
      document.body.classList.toggle("has-words", event.target.value.trim() !== "");
    }
  });
  const updateWords = () => {
    const box = document.querySelector("#words input, #words textarea");
    if (box) document.body.classList.toggle("has-words", box.value.trim() !== "");
  };

  // Gradio searches when the pointer releases a slider; do the same when a key has moved it.
  document.addEventListener("keyup", ({ key, target }) => {
    const moves = key.startsWith("Arrow") || ["Home", "End", "PageUp", "PageDown"].includes(key);
    if (moves && target.matches("#balance input[type=range], #appearance input[type=range]")) {
      target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    }
  });

  // A picture that cannot be loaded leaves its tile empty rather than broken.
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) event.target.classList.add("is-missing");
  }, true);

  window.lookalike = {
    busy: (...values) => {
      busy();
      return values;
    },
    ask: (...values) => {
      busy();
      turn += 1;
      return [...values.slice(0, -1), String(turn)];
    },
    idle: () => {
      idle();
      updateWords();
    },
    mount: (name, { element, props, trigger, watch }) =>
      mounts[name]({ root: element.querySelector(".part"), props, trigger, watch }),
  };
})();
