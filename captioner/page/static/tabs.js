// Tabs beside the photo: which of the panels is shown. Source of the keys: WAI-ARIA's tabs pattern.

const VISIBLE = 260; // pixels of a panel that is chosen: its beginning, below the photo on a phone

/** @type {Record<string, number>} */
const MOVES = { ArrowLeft: -1, ArrowRight: 1 };

export class Tabs {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.tabs = /** @type {HTMLElement[]} */ ([...viewer.host.querySelectorAll("[data-tab]")]);
    this.panels = /** @type {HTMLElement[]} */ ([...viewer.host.querySelectorAll("[data-panel]")]);
    const list = viewer.find(".tabs");
    list.addEventListener("click", (event) => {
      const tab = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-tab]"));
      if (!tab) return;
      this.open(String(tab.dataset.tab));
      this.#bringIntoView();
    });
    list.addEventListener("keydown", (event) => this.#takeKey(event));
    this.panels.forEach((panel) => {
      const tab = this.tabs.find(({ dataset }) => dataset.tab === panel.dataset.panel);
      panel.id = viewer.idOf(String(panel.dataset.panel));
      tab?.setAttribute("aria-controls", panel.id);
      if (tab) panel.setAttribute("aria-label", String(tab.textContent));
    });
    this.open("word");
  }

  /** Show a panel, which gets an event `open`. @param {string} name */
  open(name) {
    this.current = name;
    for (const tab of this.tabs) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    for (const panel of this.panels) {
      panel.hidden = panel.dataset.panel !== name;
      if (!panel.hidden) panel.dispatchEvent(new CustomEvent("open"));
    }
  }

  /** Scroll no more than is needed to see the panel begin. */
  #bringIntoView() {
    const panel = this.panels.find(({ hidden }) => !hidden)?.getBoundingClientRect();
    if (!panel) return;
    const below = Math.min(panel.bottom, panel.top + VISIBLE) - window.innerHeight;
    if (below > 0) window.scrollBy({ top: below });
  }

  /** @param {KeyboardEvent} event */
  #takeKey(event) {
    const tabs = this.tabs.filter(({ hidden }) => !hidden);
    const place = tabs.findIndex(({ dataset }) => dataset.tab === this.current);
    const last = tabs.length - 1;
    /** @type {Record<string, number>} */
    const ends = { Home: 0, End: last };
    const wanted = ends[event.key] ?? place + (MOVES[event.key] ?? NaN);
    if (Number.isNaN(wanted)) return;
    const tab = tabs[(wanted + tabs.length) % tabs.length];
    this.open(String(tab.dataset.tab));
    tab.focus();
    this.#bringIntoView();
    event.preventDefault();
    event.stopPropagation();
  }
}
