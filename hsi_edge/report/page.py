"""The report's HTML page: one file without scripts, links or anything to be loaded."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from hsi_edge.png import encode_png
from hsi_edge.report.pictures import Rgb, Window

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#17202b;--quiet:#5c6877;--line:#dfe3e9;
--accent:#0b6bcb;--mean:#d9730d;--warn:#8a5a00;--warn-card:#fff6e0}
@media (prefers-color-scheme:dark){:root{--page:#11151b;--card:#1a2029;--ink:#e8ecf1;--quiet:#9aa6b4;--line:#2e3743;
--accent:#5aacf5;--mean:#f2a154;--warn:#ffd27d;--warn-card:#2e2612}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1280px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:40px 0 4px}
p{margin:0 0 12px;color:var(--quiet)}
.stats,.pictures,.spectra,.tables{display:grid;gap:16px}
.stats{grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin-top:20px}
.pictures{grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr))}
.spectra,.tables{grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));align-items:start}
.card,figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px}
.stats .card{padding:12px 14px}
.stats b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.stats span,figcaption{color:var(--quiet);font-size:.9rem}
figcaption b{color:var(--ink)}
figure{padding:0;overflow:hidden}
figcaption{padding:10px 14px}
.frame{position:relative;line-height:0}
.frame img{display:block;width:100%;height:auto}
.box,.pin{position:absolute}
.box{border:2px solid #fff;outline:1px solid #000;box-shadow:inset 0 0 0 1px #000}
.pin{width:22px;height:22px;margin:-11px 0 0 -11px;border-radius:50%;background:#000c;border:2px solid #fff;color:#fff;
font:bold 12px/18px system-ui,sans-serif;text-align:center}
.warnings{background:var(--warn-card);color:var(--warn);border-color:currentColor;margin-top:16px}
.warnings ul{margin:0;padding-left:20px}
table{width:100%;border-collapse:collapse}
th,td{padding:7px 4px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;overflow-wrap:anywhere}
tr:last-child>*{border-bottom:0}
th{font-weight:400;color:var(--quiet);width:40%}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;width:6em;padding-right:14px}
.bar{height:8px;margin-top:8px;border-radius:4px;background:var(--accent);min-width:2px}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--quiet);font:13px system-ui,sans-serif;text-anchor:middle}
svg text.y{text-anchor:end}
@media (max-width:600px){svg text{font-size:17px}}
.grid{stroke:var(--line)}
.centre,.mean{fill:none;stroke-width:2;stroke-linejoin:round}
.centre{stroke:var(--accent)}
.mean{stroke:var(--mean);stroke-dasharray:6 4}
.lr{fill:var(--ink)}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;color:var(--ink)}
.legend svg{display:inline-block;width:30px;height:12px;margin-right:6px}
footer{margin-top:32px;color:var(--quiet);font-size:.9rem}
"""
_LEGEND = """<p class="legend">
<span><svg viewBox="0 0 30 12"><circle class="lr" cx="15" cy="6" r="3.5"/></svg>input, one LR pixel</span>
<span><svg viewBox="0 0 30 12"><polyline class="centre" points="0,6 30,6"/></svg>output, HR pixel in its centre</span>
<span><svg viewBox="0 0 30 12"><polyline class="mean" points="0,6 30,6"/></svg>output, mean over the LR pixel</span>
</p>"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture with what is said about it; `overlay` is HTML laid over it (see `box` and `pin`)."""

    title: str
    note: str
    rgb: Rgb
    overlay: str = ""


def page(title: str, subtitle: str, sections: Iterable[str], *, style: str = "") -> str:
    """Return the whole document; `sections` are HTML, `style` more CSS, the other texts plain."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n<body><main>"
        f"<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>\n" + "\n".join(sections) + "\n</main></body></html>\n"
    )


def section(title: str, note: str, body: str) -> str:
    """A titled part of the page; `body` is HTML."""
    return f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>{body}</section>"


def stats(values: Mapping[str, str]) -> str:
    """The few numbers that a reader looks for first, by their name."""
    cards = (f'<div class="card"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in values.items())
    return f'<div class="stats">{"".join(cards)}</div>'


def warnings(messages: Iterable[str]) -> str:
    """A box with the run's warnings."""
    return f'<div class="card warnings"><ul>{"".join(f"<li>{escape(m)}</li>" for m in messages)}</ul></div>'


def pictures(shown: Iterable[Picture]) -> str:
    """Pictures side by side, or one below the other on a narrow screen."""
    return f'<div class="pictures">{"".join(_figure(picture) for picture in shown)}</div>'


def _figure(picture: Picture) -> str:
    title, note = escape(picture.title), escape(picture.note)
    source = "data:image/png;base64," + b64encode(encode_png(picture.rgb)).decode()
    rows, cols, _ = picture.rgb.shape
    image = f'<img src="{source}" width="{cols}" height="{rows}" alt="{title}: {note}">'
    caption = f"<figcaption><b>{title}</b><br>{note}</figcaption>"
    return f'<figure><div class="frame">{image}{picture.overlay}</div>{caption}</figure>'


def box(window: Window, shape: tuple[int, int]) -> str:
    """An overlay: the outline of a window of a frame of that many rows and columns."""
    (top, bottom), (left, right) = ((s.start, s.stop) for s in window)
    rows, cols = shape
    place = f"left:{left / cols:.3%};top:{top / rows:.3%}"
    return (
        f'<div class="box" style="{place};width:{(right - left) / cols:.3%};height:{(bottom - top) / rows:.3%}"></div>'
    )


def pin(number: int, row: float, col: float, shape: tuple[int, int]) -> str:
    """An overlay: a numbered mark at a place of a frame of that many rows and columns."""
    return f'<div class="pin" style="left:{col / shape[1]:.3%};top:{row / shape[0]:.3%}">{number}</div>'


def spectra(plots: Mapping[str, str]) -> str:
    """Drawings (SVG) by their titles, under one legend."""
    cards = (f'<div class="card"><b>{escape(title)}</b>{svg}</div>' for title, svg in plots.items())
    return f'{_LEGEND}<div class="spectra">{"".join(cards)}</div>'


def facts(values: Mapping[str, str]) -> str:
    """A table of names and texts."""
    rows = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in values.items())
    return f'<div class="card"><table>{"".join(rows)}</table></div>'


def timings(values_ms: Mapping[str, float]) -> str:
    """A table of stages with bars as long as their share of the longest."""
    longest = max(values_ms.values(), default=0.0) or 1.0
    rows = (
        f'<tr><th>{escape(stage)}</th><td class="number">{milliseconds(ms)}</td>'
        f'<td><div class="bar" style="width:{ms / longest:.1%}"></div></td></tr>'
        for stage, ms in values_ms.items()
    )
    return f'<div class="card"><table>{"".join(rows)}</table></div>'


def milliseconds(value: float) -> str:
    """A duration with three figures: in ms, from a second on in s."""
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"
