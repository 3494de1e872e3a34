"""The JSON objects that are printed or written: their keys, with types and meanings in English and Chinese.

A type is ``string``, ``integer``, ``number``, ``boolean``, ``any``, or the name of another object; ``[...]`` is a list,
``{...}`` a map with strings as keys, and ``|`` lies between alternatives. A key that ends with ``?`` may be absent.
"""

from __future__ import annotations

from typing import NamedTuple

Keys = dict[str, tuple[str, str, str]]


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        title: What prints or writes it, as a heading.
        english: What it is about.
        chinese: The same.
        keys: Its keys, but for ``schema_version``.
    """

    title: str
    english: str
    chinese: str
    keys: Keys


_INSTALLATION: Keys = {
    "mf_qwen3_patch": ("string", "its version", "本包版本"),
    "python": ("string", "Python's version", "Python 版本"),
    "platform": ("string", "the system", "操作系统"),
    "versions": (
        "{string|null}",
        "the version of each package that matters, `null` if it is not installed",
        "各相关包的版本，未安装则为 `null`",
    ),
    "tested": (
        "boolean",
        "whether these MindFormers and MindSpore were tested together",
        "这组 MindFormers 与 MindSpore 是否一起测试过",
    ),
}

ANSWERS: dict[str, Answer] = {
    "check": Answer(
        "`check --json`",
        "Whether a directory will load, and why not.",
        "目录能否加载，不能加载则说明原因。",
        {
            "directory": ("string", "the directory that was checked", "被检查的目录"),
            "loadable": ("boolean", "whether it will load", "能否加载"),
            "problems": ("[Problem]", "why not, most important first", "不能加载的原因，最重要的在前"),
            "warnings": (
                "[string]",
                "what should be known, each with its code in front",
                "应当知道的事项，每条以错误码开头",
            ),
            "files": ("[string]", "the names of the weight files", "权重文件名"),
            "tensors": ("integer", "how many tensors they hold", "其中的张量数"),
            "bytes": ("integer", "the size of the tensors", "张量总字节数"),
            "shape": ("Dimensions", "the model's dimensions", "模型维度"),
            "quantized": (
                "string|null",
                "the method that the weights are quantized by, else `null`",
                "权重的量化方法，未量化则为 `null`",
            ),
            "adapter": (
                "string|null",
                "the LoRA adapter that is merged while loading, if there is one",
                "加载时合并的 LoRA 适配器（如果有）",
            ),
            "tensor_parallel": ("integer", "for how many ranks", "张量并行的 rank 数"),
            "memory": ("Memory", "what the parameters take", "参数占用的内存"),
            "device_plan?": (
                "DevicePlan",
                "with `--device-memory`, if there are no problems",
                "给出 `--device-memory` 且没有问题时",
            ),
        },
    ),
    "status": Answer(
        "`status --json`",
        "What is installed, and what became of each patch.",
        "已安装的内容，以及每个补丁的状态。",
        {
            **_INSTALLATION,
            "location": ("string", "where the package lies", "本包所在目录"),
            "executable": ("string", "the interpreter", "解释器路径"),
            "import_error": (
                "string|null",
                "why MindSpore or MindFormers can't be imported",
                "无法导入 MindSpore 或 MindFormers 的原因",
            ),
            "device": ("string|null", "MindSpore's device target", "MindSpore 的 device_target"),
            "cpu_kernels": ("boolean", "whether the CPU stand-ins are on", "CPU 替代算子是否启用"),
            "ascend": ("Ascend", "CANN, driver and NPUs, where there are any", "CANN、驱动与 NPU（如果有）"),
            "patches": ("[Patch]", "each patch", "各补丁"),
            "provided_upstream": (
                "{string}",
                "patches that the installed MindFormers makes unnecessary, and why",
                "已安装的 MindFormers 自带、因而不需要的补丁及原因",
            ),
            "injection": ("Injection", "how the shim gets into programs", "补丁进入程序的方式"),
            "environment": (
                "{string}",
                "the environment variables that matter; no secrets",
                "相关环境变量，不含密钥",
            ),
        },
    ),
    "contract": Answer(
        "`status --contract --json`",
        "Every upstream name that is relied upon.",
        "所依赖的每个上游名称。",
        {
            "versions": ("{string|null}", "as in `status`", "同 `status`"),
            "contract": ("[Symbol]", "each name", "各名称"),
        },
    ),
    "selftest": Answer(
        "`selftest --json`",
        "Whether the device says what HuggingFace says.",
        "设备的输出是否与 HuggingFace 一致。",
        {
            **_INSTALLATION,
            "passed": ("boolean", "whether everything is the same", "是否全部一致"),
            "device": ("string", "MindSpore's device target", "MindSpore 的 device_target"),
            "cpu_kernels": ("boolean", "whether the CPU stand-ins are on", "CPU 替代算子是否启用"),
            "failure": ("string|null", "the exception that ended the test", "使自检中止的异常"),
            "reached": ("[string]", "the steps that were done", "已完成的步骤"),
            "continuations": ("[Continuation]", "each prompt", "各提示词"),
            "load": ("string|null", "the report of the load, as text", "加载报告（文本）"),
            "golden": (
                "{string}",
                "the versions that the expected values were made with",
                "生成期望值所用的版本",
            ),
            "patches": ("[PatchOfSelftest]", "each patch", "各补丁"),
        },
    ),
    "report": Answer(
        "`LoadReport.save`, `MF_QWEN3_PATCH_REPORT`",
        "The account of one load.",
        "一次加载的报告。",
        {
            "directory": ("string", "where the checkpoint is", "权重目录"),
            "model_class": ("string", "the class that was loaded", "被加载的模型类"),
            "files": ("[string]", "the weight files that were used", "使用的权重文件"),
            "tensors": (
                "integer",
                "how many tensors the files hold; a quantized one and its scales are one",
                "文件中的张量数，量化张量与其 scale 算一个",
            ),
            "parameters": ("integer", "how many Parameters the network has", "网络的 Parameter 数"),
            "bytes_read": ("integer", "tensor data that this rank read", "本 rank 读取的张量字节数"),
            "seconds": ("number", "check, build, load and verification together", "检查、建网、加载、验证总用时（秒）"),
            "load_seconds": ("number", "reading, casting and assigning", "读取、类型转换与赋值用时（秒）"),
            "gigabytes_per_second": (
                "number",
                "`bytes_read` per second of loading, in 10^9 bytes",
                "加载速度，GB/s（10^9 字节）",
            ),
            "rank": ("integer", "this process's tensor-parallel rank", "本进程的张量并行 rank"),
            "tensor_parallel": ("integer", "how many ranks share the heads and matrices", "张量并行的 rank 数"),
            "pipeline_stage": ("integer", "this process's stage of the pipeline", "本进程的流水线阶段"),
            "pipeline_parallel": ("integer", "how many stages share the layers", "流水线阶段数"),
            "expert_rank": ("integer", "this process's expert-parallel rank", "本进程的专家并行 rank"),
            "expert_parallel": ("integer", "how many ranks share the experts", "专家并行的 rank 数"),
            "data_rank": ("integer", "this process's data-parallel rank", "本进程的数据并行 rank"),
            "data_parallel": ("integer", "how many ranks hold the same attention", "数据并行的 rank 数"),
            "global_rank": ("integer", "this process's number among all", "本进程的全局编号"),
            "on_other_ranks": ("integer", "how many tensors only other ranks hold", "只由其他 rank 持有的张量数"),
            "threads": ("integer", "how many threads copied and cast", "复制和转换的线程数"),
            "reading": (
                "Reading|null",
                "what the disk and the page cache gave; `null` if MindFormers' own loader has loaded",
                "磁盘与页缓存的情况；由 MindFormers 自己的加载器加载时为 `null`",
            ),
            "fused": ("{integer}", "how many parameters were merged, by kind", "各类融合参数的个数"),
            "casts": ("{integer}", "dtype changes, with the number of tensors", "数据类型转换及张量数"),
            "dequantized": ("{integer}", "dequantized tensors, by method and dtype", "反量化的张量数，按方法与类型"),
            "merged": (
                "{integer}",
                "tensors that an adapter changed, by its kind and the dtype",
                "适配器改变的张量数，按适配器种类与类型",
            ),
            "ignored": ("{string}", "tensors that were not loaded, and why", "未加载的张量及原因"),
            "mismatched": (
                "{[[integer]]}",
                "tensors that `ignore_mismatched_sizes` let pass: their shape and the config's",
                "`ignore_mismatched_sizes` 放行的张量：自身形状与配置的形状",
            ),
            "newly_initialized": (
                "[string]",
                "parameters that were not loaded for that reason",
                "因此未加载、重新初始化的参数",
            ),
            "warnings": ("[string]", "what should be known", "应当知道的事项"),
            "loader": (
                "string",
                "`mf_qwen3_patch`, or MindFormers' own with the reason",
                "`mf_qwen3_patch`，或 MindFormers 自己的加载器及原因",
            ),
            "verification": ("Verification|null", "what was checked afterwards", "加载后的验证"),
            "device": ("string", "the kind of device, such as `Ascend 310P`", "设备种类，如 `Ascend 310P`"),
            "time": ("string", "when the load had ended, ISO 8601 in UTC", "加载结束时刻，ISO 8601，UTC"),
            "host_peak_bytes": (
                "integer",
                "the most memory that the process has had on the host",
                "进程的主机内存峰值（字节）",
            ),
            "versions": ("{string|null}", "of the shim and the packages that matter", "本包与各相关包的版本"),
        },
    ),
    "error": Answer(
        "early failures",
        "What each of the commands prints instead if it ends early, as for a directory that is not there.",
        "命令提前结束时（例如目录不存在），上述命令改为打印这个对象。",
        {"error": ("Error", "why it ended", "结束的原因")},
    ),
}
"""The answers, by the name of their schema."""

PARTS: dict[str, Keys] = {
    "Problem": {
        "code": ("string", "such as `MFQ001`", "如 `MFQ001`"),
        "kind": ("string", "the class of the error", "异常类名"),
        "summary": ("string", "what is wrong", "问题所在"),
        "file?": ("string", "the file that shows it", "相关文件"),
        "tensor?": ("string", "the HuggingFace tensor", "HuggingFace 张量名"),
        "parameter?": ("string", "the MindFormers parameter", "MindFormers 参数名"),
        "field?": ("string", "the config field", "配置字段"),
        "expected?": ("string|number|boolean|[integer]", "the value that was expected", "期望值"),
        "found?": ("string|number|boolean|[integer]", "the value that was found", "实际值"),
        "advice?": ("string", "what to do", "处理办法"),
    },
    "Error": {
        "kind": ("string", "the class of the error", "异常类名"),
        "message": ("string", "the whole message", "完整消息"),
        "exit_code": ("integer", "of the command", "命令的退出码"),
        "problems?": ("[Problem]", "of an error about a checkpoint", "权重目录的各个问题"),
    },
    "Dimensions": {
        "hidden_size": ("integer", "as in config.json", "同 config.json"),
        "vocab_size": ("integer", "as in config.json", "同 config.json"),
        "intermediate_size": ("integer", "as in config.json", "同 config.json"),
        "num_hidden_layers": ("integer", "as in config.json", "同 config.json"),
        "num_attention_heads": ("integer", "as in config.json", "同 config.json"),
        "num_key_value_heads": ("integer", "as in config.json", "同 config.json"),
        "head_dim": ("integer", "as in config.json", "同 config.json"),
        "tie_word_embeddings": ("boolean", "as in config.json", "同 config.json"),
        "num_experts": ("integer", "0 for a dense model", "稠密模型为 0"),
        "moe_intermediate_size": ("integer", "0 for a dense model", "稠密模型为 0"),
    },
    "Memory": {
        "parameters": ("integer", "how many numbers", "参数量"),
        "dtype": ("string", "their dtype", "数据类型"),
        "device_bytes_per_rank": ("integer", "on the device of each rank", "每个 rank 的设备内存（字节）"),
        "host_bytes": ("integer", "on the host, all ranks together", "主机内存（字节），所有 rank 合计"),
        "host_bytes_free": ("integer|null", "what this host has left, if it tells", "本机剩余内存，未知则为 `null`"),
    },
    "DevicePlan": {
        "fits": ("boolean", "whether the model fits on the ranks asked for", "所给 rank 数能否放下"),
        "tensor_parallel": ("integer", "the ranks asked for", "所给 rank 数"),
        "device_bytes": ("integer", "of each device", "每张卡的内存"),
        "parameter_bytes": ("integer", "parameters of a rank", "每个 rank 的参数"),
        "cache_bytes": ("integer", "key/value cache of a rank", "每个 rank 的 KV cache"),
        "cache_tokens": ("integer", "for so many tokens of a whole batch", "KV cache 的 token 数（整个 batch）"),
        "cache_bytes_per_token": ("integer", "of a rank", "每个 rank 每个 token 的字节数"),
        "rest_bytes": ("integer", "what is left; negative if nothing is", "剩余；为负则放不下"),
        "fitting_tensor_parallel": ("[integer]", "numbers of ranks that fit", "能放下的 rank 数"),
    },
    "Ascend": {
        "cann": ("string|null", "CANN's version", "CANN 版本"),
        "driver": ("string|null", "the driver's version", "驱动版本"),
        "npus": ("[Npu]", "what `npu-smi info` lists", "`npu-smi info` 列出的 NPU"),
    },
    "Npu": {
        "id": ("integer", "its number", "编号"),
        "name": ("string", "its model, such as `910B2`", "型号，如 `910B2`"),
        "health": ("string", "`OK`, or what it is not", "健康状态，正常为 `OK`"),
        "memory_mb": ("integer|null", "its memory in MB", "内存（MB）"),
        "memory_used_mb": ("integer|null", "of it in use", "已用内存（MB）"),
    },
    "Patch": {
        "name": ("string", "the patch", "补丁名"),
        "target": ("string", "the module that it waits for", "目标模块"),
        "state": (
            "string",
            "`applied`, `pending`, `skipped`, `failed` or `replaced`",
            "`applied`、`pending`、`skipped`、`failed` 或 `replaced`",
        ),
        "reason": ("string", "why, else empty", "原因，没有则为空"),
    },
    "PatchOfSelftest": {
        "name": ("string", "the patch", "补丁名"),
        "state": ("string", "as in `status`", "同 `status`"),
        "reason": ("string", "why, else empty", "原因，没有则为空"),
    },
    "Injection": {
        "active": ("boolean", "whether programs get it without importing it", "程序不导入也会带上补丁"),
        "ways": ("[string]", "by which ways it came into this process", "进入本进程的方式"),
        "pth": ("string|null", "the `.pth` file", "`.pth` 文件"),
        "startup_file": ("boolean", "whether PYTHONSTARTUP names its file", "PYTHONSTARTUP 是否指向启动文件"),
    },
    "Symbol": {
        "symbol": ("string", "module and name", "模块与名称"),
        "used_for": ("string", "what it is relied upon for", "用途"),
        "expected": ("[string]", "its parameters in the releases that are known", "已知版本中的参数"),
        "found": ("string", "its parameters here, or why it is not there", "此处的参数，或不存在的原因"),
        "kept": ("boolean", "whether it is as expected", "是否符合预期"),
    },
    "Continuation": {
        "passed": ("boolean", "whether tokens and logits are HuggingFace's", "token 与 logits 是否与 HuggingFace 一致"),
        "prompt": ("string", "the prompt", "提示词"),
        "text": ("string", "what the model said", "模型输出"),
        "expected_text": ("string", "what HuggingFace's says", "HuggingFace 的输出"),
        "tokens": ("[integer]", "its tokens", "输出的 token"),
        "expected_tokens": ("[integer]", "HuggingFace's", "HuggingFace 的 token"),
        "largest_logit_difference": (
            "number|null",
            "of the first token's logits; `null` if it is not finite",
            "首个 token 的 logits 最大差值，非有限值则为 `null`",
        ),
        "tolerance": ("number", "what is allowed", "允许的差值"),
        "seconds": ("number", "how long it took", "用时（秒）"),
    },
    "Reading": {
        "disk_bytes": (
            "integer|null",
            "what disks were made to read; `null` if the system does not count it",
            "从磁盘读取的字节数，系统不统计则为 `null`",
        ),
        "direct_bytes": ("integer", "of these, what was read past the page cache", "其中绕过页缓存读取的字节数"),
        "disk_seconds": (
            "number",
            "from the first wait for a disk to the end of the last",
            "从第一次等待磁盘到最后一次结束的秒数",
        ),
        "disk_gigabytes_per_second": (
            "number|null",
            "what disks gave meanwhile, in 10^9 bytes; `null` without a disk",
            "期间磁盘的速度，GB/s（10^9 字节）；未读磁盘则为 `null`",
        ),
        "cached_share": (
            "number|null",
            "the part that no disk was needed for; `null` if that is not known",
            "无需读磁盘的部分所占比例，未知则为 `null`",
        ),
        "reads_in_flight": ("integer", "the most reads from a disk at a time", "同时从磁盘读取的最大请求数"),
        "bottleneck": (
            "string",
            "what took longest: `disk`, `cast` or `memory`",
            "瓶颈：`disk`（磁盘）、`cast`（类型转换）或 `memory`（复制）",
        ),
    },
    "Verification": {
        "parameters": ("integer", "how many were checked: all", "检查的参数数：全部"),
        "fused": ("integer", "of them merged from several tensors", "其中的融合参数"),
        "slices": ("integer", "tensors, or this rank's parts of them", "张量（或本 rank 的切片）数"),
        "rows_compared": ("integer", "rows that were compared with the files, bit for bit", "与文件逐比特比较的行数"),
        "rows": ("integer", "all their rows", "总行数"),
        "strict": ("boolean", "whether all were compared", "是否全部比较"),
        "compared": ("string", "the same as a sentence", "以上内容的一句话说明"),
        "values_checked": ("integer", "values that were looked at", "检查的数值个数"),
        "nan_inf": ("integer", "always 0: any is an error", "总为 0：出现即报错"),
        "overflowed": ("integer", "values that became infinite by a cast", "因类型转换变成无穷大的数值个数"),
        "all_zero": ("[string]", "tensors that are zero throughout", "全零的张量"),
        "warnings": ("[string]", "what should be known", "应当知道的事项"),
        "seconds": ("number", "how long it took", "用时（秒）"),
        "unverifiable": (
            "[string]",
            "parameters that are stored in a form of their own, and were not compared",
            "以专有格式存放、未比较的参数",
        ),
    },
}
"""The objects inside them."""
