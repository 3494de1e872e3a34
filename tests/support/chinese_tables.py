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
    "what is typed": "输入的代码",
    "`generate(streamer=TextIteratorStreamer(tokenizer))` in a thread": "在线程里 `generate(streamer=TextIteratorStreamer(tokenizer))`",
    "the calls of the lm-eval adapter, harness stubbed: `generate_until`": "lm-eval 适配器的调用（harness 为桩）：`generate_until`",
    "the calls of the lm-eval adapter, harness stubbed: `loglikelihood`": "lm-eval 适配器的调用（harness 为桩）：`loglikelihood`",
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
    "two shards hold the same tensor, with different content": "两个分片含同一个张量，内容不同",
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
    # Kinds of checkpoints.
    "dense, tied": "稠密，共享词嵌入",
    "sharded": "分片",
    "`config.json` of transformers 5": "transformers 5 的 `config.json`",
    "experts fused by transformers 5": "transformers 5 融合的专家",
    "tied, saved with the output layer alone": "共享词嵌入，只保存了输出层",
    "tied, another output layer in the file": "共享词嵌入，文件里另有不同的输出层",
    "the same, with `tie_word_embeddings=True`": "同上，给出 `tie_word_embeddings=True`",
    "LoRA adapter, its own directory": "LoRA 适配器，单独的目录",
    "LoRA adapter, `adapter=`": "LoRA 适配器，`adapter=`",
    "LoRA adapter beside the model": "LoRA 适配器，与模型同一目录",
    "LoRA adapter of experts": "LoRA 适配器，作用于专家",
    "the same, the base's experts fused by transformers 5": "同上，基座的专家由 transformers 5 融合",
    "DoRA, PiSSA, other types of PEFT": "DoRA、PiSSA 等其他 PEFT 类型",
    # Faults of quantized weights.
    "FP8 without a scale": "FP8，缺少 scale",
    "FP8 with the scale of another tensor": "FP8，scale 属于别的张量",
    "FP8 with another block size": "FP8，块大小不符",
    "FP8 with an impossible block size": "FP8，块大小不可能成立",
    "FP8 of another format": "FP8，其他格式",
    "FP8 weights in BF16 with scales": "FP8，权重是 BF16 却有 scale",
    "FP8 without its quantization_config": "FP8，缺少 quantization_config",
    "FP8 scales whose weight is missing": "FP8，有 scale 却缺少权重",
    "GPTQ with unknown bits": "GPTQ，位数未知",
    "GPTQ without bits": "GPTQ，没有位数",
    "GPTQ with another group size": "GPTQ，分组大小不符",
    "GPTQ of 8 bits that says 4": "GPTQ，实为 8 位却写成 4 位",
    "GPTQ of an unknown format": "GPTQ，格式未知",
    "GPTQ that names two formats": "GPTQ，写了两种格式",
    "GPTQ with settings by layer": "GPTQ，逐层设置",
    "GPTQ without zeros": "GPTQ，缺少零点",
    "GPTQ with truncated integers": "GPTQ，整数被截断",
    "AWQ of the gemv version": "AWQ，gemv 版本",
    "AWQ of another backend": "AWQ，其他后端",
    "AWQ with another group size": "AWQ，分组大小不符",
    "AWQ without a group size": "AWQ，没有分组大小",
    "AWQ with truncated integers": "AWQ，整数被截断",
    "packed integers without a scale": "打包的整数，缺少 scale",
    "packed integers, truncated": "打包的整数，被截断",
    "compressed-tensors of an unknown format": "compressed-tensors，格式未知",
    "compressed-tensors without groups": "compressed-tensors，没有分组",
    "compressed-tensors with other bits": "compressed-tensors，位数不符",
    "compressed-tensors with another group size": "compressed-tensors，分组大小不符",
    "compressed-tensors, sparse": "compressed-tensors，稀疏",
    "compressed-tensors with transforms": "compressed-tensors，带变换",
    "compressed-tensors, not compressed": "compressed-tensors，未压缩",
    "bitsandbytes, declared": "bitsandbytes，有声明",
    "a method that is claimed only": "只有声明的方法",
    "a scale is NaN": "scale 是 NaN",
    "a scale is infinite": "scale 是无穷大",
    "a scale is 0": "scale 是 0",
    "a weight is NaN": "权重是 NaN",
    "a scale of GPTQ is NaN": "GPTQ 的 scale 是 NaN",
    "a scale of AWQ is 0": "AWQ 的 scale 是 0",
    "a group that there is not": "分组不存在",
    "a scale of packed integers is infinite": "打包整数的 scale 是无穷大",
    # Faults of adapters.
    "another type": "其他类型",
    "prompt tuning": "prompt tuning",
    "a type that is no name": "类型不是名称",
    "DoRA by its tensors": "DoRA（由张量看出）",
    "a beginning that is no name": "初始化方式不是名称",
    "parameters": "直接作用于参数",
    "trained tokens": "训练了部分 token",
    "replicated layers": "复制了层",
    "several adapters in one file": "一个文件里有多个适配器",
    "pickle": "pickle",
    "no lora_A": "缺少 lora_A",
    "no lora_B": "缺少 lora_B",
    "no tensor of a target": "目标没有任何张量",
    "no tensors": "没有张量",
    "truncated": "被截断",
    "another rank in the config": "配置里的秩不同",
    "another rank in a pattern": "模式里的秩不同",
    "factors of different ranks": "两个因子的秩不同",
    "another base's shapes": "形状属于别的基座",
    "another base's layers": "层属于别的基座",
    "a resized vocabulary": "词表大小改过",
    "integers": "整数",
    "a rank that is no number": "秩不是数",
    "a rank of 0": "秩为 0",
    "an alpha that is no number": "alpha 不是数",
    "a pattern that is none": "模式不成立",
    "patterns that are no map": "各模式不是映射",
    "a flag that is none": "开关不是布尔值",
    "a damaged config": "配置损坏",
    "a NaN in a factor": "因子含 NaN",
    "an infinity in a factor": "因子含无穷大",
    # Attacks.
    "tried": "次数",
    "refused": "拒绝",
    "same tokens": "token 相同",
    "only the shim loads it": "只有本补丁能加载",
    "too close to tell": "差距太小",
    "other tokens, with a warning": "token 不同，有警告",
    "stock's": "原版",
    "silent": "静默出错",
    "foreign": "别人的报错",
    "hanging": "挂起",
    "forbidden": "越界",
    "code": "代码",
    "pickles": "pickle",
    "pipes": "管道",
    "devices": "设备",
    "links": "链接",
    "names": "名称",
    "sizes": "尺寸",
    "**all**": "**合计**",
    # Speed.
    "load, s": "加载，秒",
    "build + load, s": "建网 + 加载，秒",
    "disk, GB": "读盘，GB",
    "measured": "实测",
    "in proportion": "比值",
    "with it": "使用本补丁",
    "later by, in the same turn": "同一轮中晚",
    "from `python` to the first token of the micro model, without the shim": "从 `python` 启动到 micro 模型的第一个 token，不用本补丁",
    "`check` of the 235B-A22B shape in 118 shards": "`check` 235B-A22B 的形状，118 个分片",
    "floor of the disk: direct reads": "磁盘下限：直接读",
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
    (r"(\d+) attacks, (\d+) entries: (.*), (\S+)\.", r"\1 种攻击，\2 个入口：\3, \4。"),
    (r"(\d+) mutated directories, compared with (transformers \S+):", r"\1 个随机改动的目录，与 \2 对比："),
    (r"right tokens; warning: (.*)", r"token 正确；警告：\1"),
    (r"loaded as the file has it; warning: (.*)", r"按文件内容加载；警告：\1"),
    *(
        (pattern.format(english), chinese.format(said))
        for pattern, chinese in (
            (
                r"\*\*(\S+) \((\d+) of its (\d+) layers\), (\w+) file → (\w+){}\*\*",
                r"**\1（\3 层中的 \2 层），\4 文件 → \5{}**",
            ),
            (r"\*\*(.+), (\w+) file → (\w+){}\*\*", r"**\1，\2 文件 → \3{}**"),
        )
        for english, said in (("", ""), (", cold", "，冷缓存"), (", the load after a cold one", "，冷加载之后的一次"))
    ),
    (
        (
            r"0\.6B from bfloat16 to float32 takes (\S+ s), stock (\S+ s), HuggingFace (\S+ s); in bfloat16 from a cold disk "
            r"(\S+ s), HuggingFace (\S+ s), reading the file alone (\S+ s)\."
        ),
        r"0.6B 从 bfloat16 到 float32：\1，原版 \2，HuggingFace \3；冷盘加载为 bfloat16：\4，HuggingFace \5，仅读文件 \6。",
    ),
    (r"(mindformers .*)<br>without the sweeps", r"\1<br>不含 sweep"),
    (r"read once, write once, fsync: (\S+)", r"读一次、写一次、fsync：\1"),
    (r"(`convert`|`export`) of (\S+)", r"\1 \2"),
    (
        r"what (\d+) ranks read together from a cold disk, page cache (`\w+`): (\S+)",
        r"\1 个 rank 共同从冷盘读取的数据量，页缓存 \2：\3",
    ),
    (r"(\d+\.\d\d) (s|GB)( \([-–\d.]+\))?", r"\1 \2\3"),
    (
        (
            r"Measured (\S+) on 2 cores of an AMD EPYC virtual machine with 24 GiB, warm page cache where nothing else is said, "
            r"median \(minimum–maximum\) of (\d+) to (\d+) alternating runs\."
        ),
        r"测于 \1：AMD EPYC 虚拟机的 2 个核，24 GiB 内存，未注明时页缓存已预热；交替运行 \2 至 \3 次的中位数（最小–最大）。",
    ),
)
_WHOSE = {"quantized": "量化", "adapter": "适配器"}
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
    r"[-+–✓\d.,()%×/ ]*|\[?MFQ\d+\]?( `\w+`)?|(`[^`]+`, )*`[^`]+`(: .*)?|mf_qwen3_patch|mindformers .*<br>.*|-+"
    r"|FP8|GPTQ|AWQ|msModelSlim|MLX|HQQ|EETQ|HQQ, EETQ|bitsandbytes|compressed-tensors|GGUF|DoRA|PiSSA|OLoRA|yarn"
    r"|float16, bfloat16|float64|from_pretrained|load_weights|convert"
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
    whose, separator, fault = text.partition(": ")
    if separator and whose in _WHOSE:
        return f"{_WHOSE[whose]}：{_cell(fault)}"
    if text.startswith("compressed-tensors, "):
        for english, chinese in _COMPRESSED.items():
            text = text.replace(english, chinese)
        return text.replace(", ", "，")
    if _AS_IT_IS.fullmatch(text):
        return text
    raise KeyError(text)
