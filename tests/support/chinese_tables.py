"""The generated tables in Chinese: what scripts write into the English pages, cell by cell.

Code, numbers, names and quoted messages stay as they are. A cell that is not known here is an error: add it.
"""

from __future__ import annotations

import re

_CELLS = {
    # Ways and results.
    "right": "正确",
    "right, warned": "正确，有警告",
    "right tokens": "token 正确",
    "both": "两者",
    "**hangs**": "**挂起**",
    "**no error, wrong tokens**": "**不报错，token 错误**",
    "what is wrong": "问题",
    "branch": "分支",
    "stock": "原版",
    "stock `load_weights`": "原版 `load_weights`",
    "with `import mf_qwen3_patch`": "使用 `import mf_qwen3_patch`",
    "dense": "稠密",
    "mixture of experts": "混合专家",
    "dense, converted": "稠密，转换后",
    "mixture of experts, converted": "混合专家，转换后",
    "all tests": "全部测试",
    "Qwen3, tied, as 0.6B, 1.7B, 4B": "Qwen3，共享词嵌入（0.6B、1.7B、4B）",
    "Qwen3, untied, as 8B, 14B, 32B": "Qwen3，不共享词嵌入（8B、14B、32B）",
    "Qwen3-MoE, as 30B-A3B and 235B-A22B": "Qwen3-MoE（30B-A3B、235B-A22B）",
    # Fine-tuning.
    "sound": "没有问题",
    "sound, `qkv_concat: False`": "没有问题，`qkv_concat: False`",
    "sound, config.json of transformers 5": "没有问题，transformers 5 的 config.json",
    "a missing norm": "缺少 norm",
    "a missing shard": "缺少分片",
    "more layers in config.json than in the weights": "config.json 的层数多于权重",
    "fewer layers in config.json than in the weights": "config.json 的层数少于权重",
    "another `num_layers` in the YAML": "YAML 里的 `num_layers` 不同",
    "NaN in a tensor": "张量含 NaN",
    "a stray older file beside the shards": "分片旁有多余的旧文件",
    "biases": "偏置",
    "a LoRA adapter alone": "只有 LoRA 适配器",
    "a wrong file in the index": "索引里的文件名错误",
    "another number of key/value heads": "KV 头数不同",
    "a truncated file": "文件被截断",
    # Entries.
    "nothing is wrong": "没有问题",
    "a NaN": "一个 NaN",
    "an infinity": "一个无穷大",
    "a value too large for the network's float16": "数值超出网络的 float16 范围",
    "a tensor is missing": "缺少一个张量",
    "one layer more than the network has": "比网络多一层",
    "a matrix lacks a row": "矩阵少一行",
    "a matrix of integers": "整数矩阵",
    "other files that hold the same names": "另有文件包含同名张量",
    "two shards hold the same tensor": "两个分片含同一个张量",
    "a truncated shard": "分片被截断",
    "a shard is missing": "缺少分片",
    "a tensor of a LoRA adapter": "LoRA 适配器的张量",
    "a scale of quantized weights": "量化权重的 scale",
    "the note of the layout is damaged": "布局标记损坏",
    "the note of the ranks is damaged": "rank 标记损坏",
    "made for other ranks": "为别的 rank 数转换",
    "a conversion that was killed": "转换中途被杀死",
    "HuggingFace directory, from_pretrained": "HuggingFace 目录，from_pretrained",
    "HuggingFace directory, load_weights": "HuggingFace 目录，load_weights",
    "converted, inference layout, from_pretrained": "转换后，推理布局，from_pretrained",
    "converted, inference layout, load_weights": "转换后，推理布局，load_weights",
    "converted, training layout, from_pretrained": "转换后，训练布局，from_pretrained",
    "converted, training layout, load_weights": "转换后，训练布局，load_weights",
    "merged by MindFormers, load_weights": "由 MindFormers 合并，load_weights",
    "HuggingFace directory, MindFormers' own loader": "HuggingFace 目录，MindFormers 自己的加载器",
    "converted, training layout, MindFormers' own loader": "转换后，训练布局，MindFormers 自己的加载器",
    "weight dict, convert_weight_dict": "权重字典，convert_weight_dict",
    # Faults next to stock.
    "the index names a file that is not there": "索引指向不存在的文件",
    "untied, but no `lm_head.weight`": "不共享词嵌入，却没有 `lm_head.weight`",
    "a tensor with a NaN": "张量含 NaN",
    "a tensor that is all zero": "张量全为零",
    "stray old `.safetensors` beside the shards": "分片旁有多余的旧 `.safetensors`",
    "FP8 scales (`weight_scale_inv`)": "FP8 的 scale（`weight_scale_inv`）",
    "a bias that config.json does not mention": "config.json 没有提到的偏置",
    "an unknown extra tensor": "多出一个未知张量",
    "a LoRA adapter instead of the model": "只有 LoRA 适配器，没有模型",
    "config.json written by transformers 5": "transformers 5 写出的 config.json",
    # Quantization.
    "FP8, blocks": "FP8，分块",
    "FP8, blocks, scales in BF16": "FP8，分块，scale 为 BF16",
    "FP8, one scale for a tensor": "FP8，每个张量一个 scale",
    "GPTQ, 8 bits, one group": "GPTQ，8 位，单组",
    "GPTQ, asymmetric": "GPTQ，非对称",
    "GPTQ, asymmetric, act-order": "GPTQ，非对称，act-order",
    "GPTQ, 8 bits, version 2": "GPTQ，8 位，第 2 版",
    "an unknown method": "未知方法",
    # Speed.
    "load, s": "加载，秒",
    "build + load, s": "建网 + 加载，秒",
    "peak, GB": "峰值，GB",
    "over the parameters' size": "超出参数大小",
    "shim's load / its": "本补丁的加载 / 它的加载",
    "with the build": "含建网",
    "its from_pretrained": "本补丁的 from_pretrained",
    "stock load_weights": "原版 load_weights",
    "manual conversion": "手工转换",
    "HuggingFace from_pretrained": "HuggingFace 的 from_pretrained",
    "the same, imported before": "同上，事先已 import",
    "and every page read": "并读取每一页",
    "floor: read once, write once": "下限：读一次，写一次",
}

# Of cells and lines with numbers or names in them; in order, the first that fits.
_PATTERNS = (
    (r"\*\*no error, (\d+) parameters? wrong\*\*", r"**不报错，\1 个参数错误**"),
    (r"a missing (\w+)", r"缺少 \1"),
    (r"(`\w+`) too small in config\.json", r"config.json 的 \1 过小"),
    (r"(`\w+`) too small", r"\1 过小"),
    (r"(`\w+`) too large", r"\1 过大"),
    (r"(`\w+`) absent", r"缺少 \1"),
    (r"(\d+) passed, (\d+) skipped", r"\1 通过，\2 跳过"),
    (r"(\d+) loads; wrong in silence: (\d+)\.", r"共 \1 次加载；静默出错：\2 次。"),
    (r"right tokens; warning: (.*)", r"token 正确；警告：\1"),
    (r"loaded as the file has it; warning: (.*)", r"按文件内容加载；警告：\1"),
    (r"\*\*(\S+) \((\d+) of its (\d+) layers\), (\w+) file → (\w+)\*\*", r"**\1（\3 层中的 \2 层），\4 文件 → \5**"),
    (r"\*\*(.+), (\w+) file → (\w+)\*\*", r"**\1，\2 文件 → \3**"),
    (
        (
            r"Measured (\S+) on 2 cores of an AMD EPYC virtual machine with 24 GiB, warm page cache, "
            r"median \(minimum–maximum\) of (\d+) alternating runs\."
        ),
        r"测于 \1：AMD EPYC 虚拟机的 2 个核，24 GiB 内存，页缓存已预热；交替运行 \2 次的中位数（最小–最大）。",
    ),
)
_COMPRESSED = {
    "compressed-tensors": "compressed-tensors",
    "packed by channel": "打包存储，按通道",
    "by tensor": "按张量",
    "by channel": "按通道",
    "by block": "按块",
    "by group": "按组",
    "asymmetric": "非对称",
}
# Numbers, marks, names of programs, code, and messages after the class that they belong to.
_AS_IT_IS = re.compile(
    r"[-+–✓\d.,()%×/ ]*|\[?MFQ\d+\]?( `\w+`)?|`[^`]+`(: .*)?|mf_qwen3_patch|mindformers .*<br>.*|-+"
    r"|FP8|GPTQ|AWQ|msModelSlim|MLX|HQQ|EETQ|bitsandbytes"
)


def in_chinese(body: str) -> str:
    """Return what a script has made for the English pages in Chinese; raises KeyError for what is not known."""
    return "\n".join(map(_line, body.split("\n")))


def _line(line: str) -> str:
    if line.startswith("|"):
        return "|".join(_padded(cell) for cell in re.split(r"(?<!\\)\|", line))
    number, text = re.fullmatch(r"(\d+\. |)(.*)", line).groups()  # type: ignore[union-attr]
    return number + _cell(text)


def _padded(cell: str) -> str:
    text = cell.strip()
    return cell.replace(text, _cell(text)) if text else cell


def _cell(text: str) -> str:
    if text in _CELLS:
        return _CELLS[text]
    for pattern, chinese in _PATTERNS:
        if match := re.fullmatch(pattern, text):
            return match.expand(chinese)
    if text.startswith("compressed-tensors, "):
        for english, chinese in _COMPRESSED.items():
            text = text.replace(english, chinese)
        return text.replace(", ", "，")
    if _AS_IT_IS.fullmatch(text):
        return text
    raise KeyError(text)
