"""About the model, for the page: how it works, what it has seen, how well it does and does not."""

import html
import json
import logging
from pathlib import Path
from typing import Any

import gradio as gr

from captioner.page.texts import LANGUAGES, read_texts

log = logging.getLogger(__name__)

MAX_REPORT_BYTES = 1_000_000
BEAM = "3"
"""The beam size that the page starts with, as the report names it."""
SCORES = ("BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")

SHOW_ONE = """
const chosen = navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en";
for (const section of element.querySelectorAll("section")) {
  if (section.lang !== chosen) section.remove();
}
"""

GRID = 6
"""Rows and columns of the regions as drawn; the model's own are not known before it is loaded."""
BOXES = {"about_encoder": (138, 26), "about_attention": (266, 144), "about_lstm": (138, 144)}
"""Corners of the parts in the picture."""
ARROWS = (
    "M110 50H132",
    "M246 50H268",
    "M322 112V138",
    "M264 166H246",
    "M136 166H112",
    "M60 186V216H190V192",
    "M190 142V128H284V138",
)


def about_section(report: Path, **settings: Any) -> gr.HTML:
    """Write the section, in the languages of which a browser shows its own.

    Args:
        report: the scores as `train evaluate` wrote them; one that is none is left out.
        **settings: more of gr.HTML's.
    """
    try:
        sections = _sections(_read_report(report) if report.is_file() else None)
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError,
            ValueError) as error:  # fmt: skip
        log.warning("%s holds no scores: %s", report.name, type(error).__name__)
        sections = _sections(None)
    return gr.HTML(
        html_template=sections,
        js_on_load=SHOW_ONE,
        apply_default_css=False,
        **settings,
    )


def _read_report(path: Path) -> dict[str, Any]:
    """The report, which may be a stranger's; raises errors of many kinds where it is none."""
    with path.open("rb") as file:
        content = file.read(MAX_REPORT_BYTES + 1)
    if len(content) > MAX_REPORT_BYTES:
        raise ValueError(f"a report must have at most {MAX_REPORT_BYTES} bytes")
    return json.loads(content)


def _sections(report: dict[str, Any] | None) -> str:
    return "".join(
        f'<section lang="{language}">{_section(language, report)}</section>'
        for language in LANGUAGES
    )


def _section(language: str, report: dict[str, Any] | None) -> str:
    texts = read_texts(language)

    def say(key: str, **values: Any) -> str:
        return html.escape(texts[key].format(**values))

    def part(name: str, more: str = "") -> str:
        return f"<h3>{say(f'about_{name}')}</h3><p>{say(f'about_{name}_text')}</p>{more}"

    scores = f"<h3>{say('about_scores')}</h3>{_scores(say, report)}"
    return (
        f"<h2>{say('about_title')}</h2><div class='parts'>"
        f"<div>{part('how', _picture(say))}</div>"
        f"<div>{part('trained')}{scores}{part('wrong')}</div></div>"
    )


def _scores(say: Any, report: dict[str, Any] | None) -> str:
    if report is None:
        return f"<p>{say('about_no_scores')}</p>"
    sets: dict[str, Any] = report.get("sets", {"": report})
    photos = sum(of_set["settings"]["photos"] for of_set in sets.values())
    names = "".join(f"<th scope='col'>{_as_text(name)}</th>" for name in sets)
    head = f"<tr><td></td>{names}</tr>" if len(sets) > 1 else ""
    rows = "".join(
        f"<tr><th scope='row'>{name}</th>"
        + "".join(f"<td>{_interval(of_set['scores'][BEAM][name])}</td>" for of_set in sets.values())
        + "</tr>"
        for name in SCORES
    )
    text = f"<p>{say('about_scores_text', photos=photos)}</p>"
    table = f"<table>{head}{rows}</table>"
    attention = next((of_set["attention"] for of_set in sets.values() if "attention" in of_set), {})
    if BEAM not in attention:
        return text + table
    pointing = attention[BEAM]
    shares = (pointing["pointing"]["value"], pointing["uniform_pointing"]["value"])
    value, chance = (f"{share:.0%}" for share in shares)
    return f"{text}{table}<p>{say('about_pointing', value=value, chance=chance)}</p>"


def _as_text(name: str) -> str:
    """Escape a text, also for Gradio, which would run part of it as a template."""
    escaped = html.escape(name)
    for character in "$`{":
        escaped = escaped.replace(character, f"&#{ord(character)};")
    return escaped


def _interval(measured: dict[str, float]) -> str:
    half = (measured["high"] - measured["low"]) / 2
    return f"{measured['value']:.1f} ± {half:.1f}"


def _picture(say: Any) -> str:
    lines = [f"M{272 + 100 * line / GRID:.1f} 14v72" for line in range(1, GRID)]
    lines += [f"M272 {14 + 72 * line / GRID:.1f}h100" for line in range(1, GRID)]
    boxes = "".join(
        f'<rect x="{x}" y="{y}" width="106" height="44" rx="8"/>'
        f'<text x="{x + 53}" y="{y + 27}">{say(key)}</text>'
        for key, (x, y) in BOXES.items()
    )
    arrows = "".join(f'<path class="arrow" d="{line}"/>' for line in ARROWS)
    hot = (
        f'<rect class="hot" x="{272 + 100 * (GRID // 2) / GRID:.1f}" '
        f'y="{14 + 72 * (GRID // 2) / GRID:.1f}" '
        f'width="{100 / GRID:.1f}" height="{72 / GRID:.1f}"/>'
    )
    return (
        f'<svg viewBox="0 0 386 236" role="img" aria-label="{say("about_picture")}">'
        '<defs><marker id="about-tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>'
        '<rect x="10" y="14" width="98" height="72" rx="6"/>'
        '<path class="hill" d="M10 72l28-22 22 16 26-28 22 22v20a6 6 0 0 1-6 6H16a6 6 0 0 1-6-6z"/>'
        f'<circle cx="34" cy="34" r="8"/><text x="59" y="104">{say("about_photo")}</text>'
        f'<rect x="272" y="14" width="100" height="72"/>{hot}<path d="{"".join(lines)}"/>'
        f'<text x="322" y="104">{say("about_regions")}</text>'
        f'{boxes}<rect x="12" y="146" width="96" height="40" rx="20"/>'
        f'<text x="60" y="171">{say("about_word")}</text>{arrows}'
        f'<text x="125" y="231">{say("about_back")}</text>'
        f'<text x="236" y="122">{say("about_next")}</text></svg>'
    )
