"""Draw the pictures of the documentation as SVG, beside this file.

    python docs/pictures/draw.py

Text in, text out, the same on every machine; a test compares the files with what this draws.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, unescape

HERE = Path(__file__).parent

# The Chinese pictures have these texts in place of the English ones; what is not here stays.
CHINESE = {
    "How a load flows": "一次加载的过程",
    "the model is already built": "模型已经构建",
    "dict in, dict out": "输入字典，输出字典",
    "open and check": "打开并核对",
    "config.json × YAML or keywords × index × headers": "config.json × YAML 或关键字参数 × 索引 × 文件头",
    "each file is opened once; no MindSpore": "每个文件只打开一次；不需要 MindSpore",
    "one error with all problems": "一个报错，列出全部问题",
    "nothing is built, the model is untouched": "什么都不构建，模型保持原样",
    "build": "构建",
    "inference network, parameters without memory": "推理网络，参数暂不占内存",
    "plan": "计划",
    "which bytes of which file become which rows": "哪个文件的哪些字节，成为本 rank",
    "of which parameter of this rank": "哪个参数的哪些行",
    "fallback: MindFormers' own loader": "后备：MindFormers 自己的加载器",
    "quantized layers, 310P": "量化层、310P",
    "read": "读取",
    "one buffer per parameter, each byte read once": "每个参数一块缓冲区，每个字节只读一次",
    "every value checked for NaN and infinity": "逐值检查 NaN 和无穷大",
    "one error, or Ctrl-C": "一个报错，或 Ctrl-C",
    "the network is as it was before": "网络保持加载前的状态",
    "assign": "赋值",
    "the buffers become the Parameters, without a copy": "缓冲区直接成为 Parameter，不再拷贝",
    "verify": "验证",
    "counts, shapes, dtypes; rows of every slice": "个数、形状、数据类型；每个切片的若干行",
    "read again from the files, bit for bit": "从文件重新读取，逐比特比较",
    "the model holds what it held before": "模型恢复为加载前的内容",
    "the model": "模型",
    "model.mf_qwen3_report: what was done": "model.mf_qwen3_report：加载报告",
    "MindFormers' training conversion": "MindFormers 的训练转换",
    "in the inference layout, named Parameters": "按推理布局，Parameter 带名字",
    "load_weights: skipped": "load_weights：跳过",
    "Layouts of the fused parameters": "融合参数的布局",
    "linear_qkv: one cell is one head of head_dim rows; 4 query heads, 2 key-value heads": (
        "linear_qkv：一格是一个头（head_dim 行）；4 个 query 头，2 个 key-value 头"
    ),
    "inference: Q | K | V, contiguous": "推理布局：Q | K | V 连续存放",
    "training: by group, its queries, its key, its value": "训练布局：按组存放，各组的 Q、K、V",
    "inference: gate | up, contiguous": "推理布局：gate | up 连续存放",
    "training: gate and up in turns": "训练布局：gate 与 up 交替",
    "linear_fc1: one cell is one row; 4 rows of gate (g), 4 of up (u)": (
        "linear_fc1：一格是一行；gate（g）4 行，up（u）4 行"
    ),
    "Names and shapes are the same in both: a model takes the wrong layout without an error, "
    "and generates wrong tokens.": "两种布局的名字和形状都相同：布局弄错时照常加载，不报错，但输出的 token 是错的。",
}

INK, PAPER, LINE = "#1f2430", "#ffffff", "#8a93a6"
BLUE, GREEN, ORANGE, RED, GREY = "#dbe8ff", "#d9f2df", "#ffe9c9", "#ffdcd9", "#eef0f4"
_FONT = "font-family=\"-apple-system, 'Segoe UI', 'Noto Sans CJK SC', sans-serif\""


def qkv_inference(heads: int, groups: int) -> list[str]:
    """Return the heads of ``linear_qkv`` from top to bottom as inference reads them: Q, then K, then V."""
    queries = [f"Q{head}" for head in range(heads)]
    return queries + [f"K{group}" for group in range(groups)] + [f"V{group}" for group in range(groups)]


def qkv_training(heads: int, groups: int) -> list[str]:
    """Return the same heads as training reads them: each group's queries, its key and its value."""
    each = heads // groups
    rows = []
    for group in range(groups):
        rows += [f"Q{head}" for head in range(group * each, (group + 1) * each)] + [f"K{group}", f"V{group}"]
    return rows


def mlp_inference(rows: int) -> list[str]:
    """Return the rows of ``linear_fc1`` as inference reads them: gate, then up."""
    return [f"g{row}" for row in range(rows)] + [f"u{row}" for row in range(rows)]


def mlp_training(rows: int) -> list[str]:
    """Return the same rows as training reads them: gate and up in turns."""
    return [f"{part}{row}" for row in range(rows) for part in "gu"]


def _document(width: int, height: int, title: str, parts: list[str]) -> str:
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT} role="img">'
    background = f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", arrow, background, *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, size: int = 14, weight: str = "400", anchor: str = "middle") -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{INK}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>'


def _box(x: float, y: float, width: float, color: str, title: str, *lines: str) -> str:
    height = 30 + 17 * len(lines)
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6" fill="{color}" stroke="{LINE}"/>',
        _text(x + width / 2, y + 20, title, weight="600"),
    ]
    parts += [_text(x + width / 2, y + 38 + 17 * number, line, size=12) for number, line in enumerate(lines)]
    return "\n".join(parts)


def _arrow(*points: tuple[float, float]) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.5" marker-end="url(#arrow)"/>'


def draw_load() -> str:
    """Draw how a load flows, from the call to the verified model."""
    left, right = 30, 470  # the columns of the road and of what leaves it
    parts = [
        _box(30, 20, 270, BLUE, "AutoModel.from_pretrained(dir)", "AutoModelForCausalLM, Qwen3ForCausalLM"),
        _box(320, 20, 250, BLUE, "load_weights(dir)", "the model is already built"),
        _box(590, 20, 260, BLUE, "convert_weight_dict(source)", "dict in, dict out"),
        _box(
            left,
            110,
            400,
            GREEN,
            "open and check",
            "config.json × YAML or keywords × index × headers",
            "each file is opened once; no MindSpore",
        ),
        _box(right, 118, 380, RED, "one error with all problems", "nothing is built, the model is untouched"),
        _box(left, 214, 400, GREY, "build", "inference network, parameters without memory"),
        _box(
            left,
            301,
            400,
            GREEN,
            "plan",
            "which bytes of which file become which rows",
            "of which parameter of this rank",
        ),
        _box(
            right,
            309,
            380,
            ORANGE,
            "fallback: MindFormers' own loader",
            "quantized layers, 310P",
        ),
        _box(
            left,
            405,
            400,
            GREEN,
            "read",
            "one buffer per parameter, each byte read once",
            "every value checked for NaN and infinity",
        ),
        _box(right, 413, 380, RED, "one error, or Ctrl-C", "the network is as it was before"),
        _box(left, 509, 400, GREEN, "assign", "the buffers become the Parameters, without a copy"),
        _box(
            left,
            596,
            400,
            GREEN,
            "verify",
            "counts, shapes, dtypes; rows of every slice",
            "read again from the files, bit for bit",
        ),
        _box(right, 604, 380, RED, "LoadNotProven", "the model holds what it held before"),
        _box(left, 700, 400, BLUE, "the model", "model.mf_qwen3_report: what was done"),
        _arrow((165, 67), (165, 110)),
        _arrow((390, 67), (390, 110)),
        _arrow((430, 143), (470, 143)),
        *(_arrow((230, top), (230, bottom)) for top, bottom in ((174, 214), (261, 301), (365, 405), (469, 509))),
        *(_arrow((230, top), (230, bottom)) for top, bottom in ((556, 596), (660, 700))),
        _arrow((430, 334), (470, 334)),
        _arrow((430, 438), (470, 438)),
        _arrow((430, 629), (470, 629)),
        _arrow((850, 334), (875, 334), (875, 576), (400, 576), (400, 596)),
        _arrow((720, 67), (720, 84), (862, 84), (862, 214)),
        _box(575, 214, 300, GREEN, "MindFormers' training conversion", "in the inference layout, named Parameters"),
    ]
    parts.append(_text(30, 285, "load_weights: skipped", size=11, anchor="start"))
    return _document(890, 770, "How a load flows", parts)


def _strip(x: float, y: float, cells: list[str], width: float) -> str:
    colors = {"Q": BLUE, "K": ORANGE, "V": GREEN, "g": BLUE, "u": ORANGE}
    parts = []
    for number, cell in enumerate(cells):
        left = x + number * width
        rectangle = f'<rect x="{left:g}" y="{y:g}" width="{width:g}" height="44" fill="{colors[cell[0]]}"'
        parts += [f'{rectangle} stroke="{LINE}"/>', _text(left + width / 2, y + 27, cell)]
    return "\n".join(parts)


def draw_layouts() -> str:
    """Draw the rows of the fused parameters in both layouts."""
    heads, groups, rows = 4, 2, 4
    parts = [
        _text(
            30,
            34,
            "linear_qkv: one cell is one head of head_dim rows; 4 query heads, 2 key-value heads",
            weight="600",
            anchor="start",
        )
    ]
    strips = (
        (60, "inference: Q | K | V, contiguous", qkv_inference(heads, groups)),
        (112, "training: by group, its queries, its key, its value", qkv_training(heads, groups)),
        (222, "inference: gate | up, contiguous", mlp_inference(rows)),
        (274, "training: gate and up in turns", mlp_training(rows)),
    )
    parts.append(
        _text(30, 206, "linear_fc1: one cell is one row; 4 rows of gate (g), 4 of up (u)", weight="600", anchor="start")
    )
    for y, label, cells in strips:
        parts += [_strip(30, y, cells, 68), _text(590, y + 27, label, size=13, anchor="start")]
    parts.append(
        _text(
            30,
            352,
            "Names and shapes are the same in both: a model takes the wrong layout without an error, "
            "and generates wrong tokens.",
            size=13,
            anchor="start",
        )
    )
    return _document(910, 372, "Layouts of the fused parameters", parts)


def in_chinese(picture: str) -> str:
    """Return a picture with Chinese texts."""
    return re.sub(
        r"(?<=>)[^<>\n]+(?=</)", lambda text: escape(CHINESE.get(unescape(text[0]), unescape(text[0]))), picture
    )


PICTURES = {
    "load.svg": draw_load,
    "layouts.svg": draw_layouts,
    "load-zh.svg": lambda: in_chinese(draw_load()),
    "layouts-zh.svg": lambda: in_chinese(draw_layouts()),
}


def main() -> None:
    """Write every picture."""
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
