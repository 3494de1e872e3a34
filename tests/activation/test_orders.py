"""Import, patch and unpatch in every order, each in an interpreter of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.processes import run_script

_CHECK = """
def patched():
    import mindspore, mindspore.train.serialization
    from mindformers import AutoModel, AutoModelForCausalLM, AutoConfig
    from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM as Q
    from mindformers.models.qwen3.utils import Qwen3PreTrainedModel as P
    stock_stub = Q.convert_weight_dict.__func__.__module__ == "mindformers.parallel_core.utils.model_mixin"
    return [
        "mf_qwen3_patch/patches/" in mindspore.load_checkpoint.__code__.co_filename,
        mindspore.load_checkpoint is mindspore.train.serialization.load_checkpoint,
        not stock_stub,
        all("mf_qwen3_patch/patches/" in c.from_pretrained.__func__.__code__.co_filename for c in (AutoModel, AutoModelForCausalLM, AutoConfig, P)),
        "mf_qwen3_patch/patches/" in Q.load_weights.__code__.co_filename,
    ]
"""
_PATCHED = [True, True, True, True, True]
_STOCK = [False, True, False, False, False]

ORDERS = {
    "shim, then mindformers": ("import mf_qwen3_patch; import mindformers", _PATCHED),
    "shim, mindspore, mindformers": ("import mf_qwen3_patch; import mindspore; import mindformers", _PATCHED),
    "mindspore, shim, mindformers": ("import mindspore; import mf_qwen3_patch; import mindformers", _PATCHED),
    "mindformers, then shim": ("import mindformers; import mf_qwen3_patch", _PATCHED),
    "from-import in the script, then shim": (
        (
            "from mindspore import load_checkpoint; import mf_qwen3_patch; import mindspore; "
            "assert load_checkpoint is mindspore.load_checkpoint"
        ),
        _PATCHED,
    ),
    "shim imported twice": (
        "import mf_qwen3_patch, sys; import mindformers; import mf_qwen3_patch",
        _PATCHED,
    ),
    "activate twice": (
        "import mf_qwen3_patch as p; p.activate(); import mindformers; p.activate()",
        _PATCHED,
    ),
    "deactivate before the import": (
        "import mf_qwen3_patch as p; p.deactivate(); import mindformers",
        _STOCK,
    ),
    "deactivate after the import": ("import mf_qwen3_patch as p; import mindformers; p.deactivate()", _STOCK),
    "deactivate twice": (
        "import mf_qwen3_patch as p; import mindformers; p.deactivate(); p.deactivate()",
        _STOCK,
    ),
    "deactivate, activate before the import": (
        "import mf_qwen3_patch as p; p.deactivate(); p.activate(); import mindformers",
        _PATCHED,
    ),
    "deactivate, activate after the import": (
        "import mf_qwen3_patch as p; import mindformers; p.deactivate(); p.activate()",
        _PATCHED,
    ),
    "deactivate, import, activate": (
        "import mf_qwen3_patch as p; p.deactivate(); import mindformers; p.activate()",
        _PATCHED,
    ),
    "there and back three times": (
        "import mf_qwen3_patch as p; import mindformers; [(p.deactivate(), p.activate()) for _ in range(3)]",
        _PATCHED,
    ),
    "the class imported directly": (
        "import mf_qwen3_patch; from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM",
        _PATCHED,
    ),
    "imported by another thread": (
        "import threading, mf_qwen3_patch; t = threading.Thread(target=lambda: __import__('mindformers')); t.start(); t.join()",
        _PATCHED,
    ),
    "activated by eight threads while a ninth imports": (
        (
            "import threading, mf_qwen3_patch as p; p.deactivate(); "
            "ts = [threading.Thread(target=p.activate) for _ in range(8)]; "
            "ts.append(threading.Thread(target=lambda: __import__('mindformers'))); "
            "[t.start() for t in ts]; [t.join() for t in ts]"
        ),
        _PATCHED,
    ),
    "reloaded before the import": (
        "import importlib, mf_qwen3_patch as p; importlib.reload(p); import mindformers",
        _PATCHED,
    ),
    "reloaded after the import": (
        "import importlib, mf_qwen3_patch as p; import mindformers; importlib.reload(p)",
        _PATCHED,
    ),
    "reloaded, then deactivated": (
        "import importlib, mf_qwen3_patch as p; import mindformers; importlib.reload(p); p.deactivate()",
        _STOCK,
    ),
    "deactivated, then reloaded": (
        "import importlib, mf_qwen3_patch as p; import mindformers; p.deactivate(); importlib.reload(p)",
        _PATCHED,
    ),
    "from-import in the script, then shim, then deactivate": (
        (
            "from mindspore import load_checkpoint; import mf_qwen3_patch as p, mindformers; p.deactivate(); "
            "import mindspore; assert load_checkpoint is mindspore.load_checkpoint"
        ),
        _STOCK,
    ),
    "imported and deactivated by two threads at once": (
        (
            "import threading, mf_qwen3_patch as p; "
            "ts = [threading.Thread(target=f) for f in (p.deactivate, lambda: __import__('mindformers'), p.deactivate)]; "
            "[t.start() for t in ts]; [t.join() for t in ts]; p.deactivate()"
        ),
        _STOCK,
    ),
    "switched off by the environment": (
        "import os; os.environ['MF_QWEN3_PATCH'] = '0'; import mf_qwen3_patch",
        _STOCK,
    ),
}


# What depends on how a release imports its own modules; the other orders are turns of the shim's own switches.
OF_IMPORTS = (
    "shim, then mindformers",
    "mindspore, shim, mindformers",
    "mindformers, then shim",
    "from-import in the script, then shim",
    "the class imported directly",
    "deactivate after the import",
)


@pytest.mark.parametrize(
    "order", [pytest.param(order, marks=() if order in OF_IMPORTS else pytest.mark.sweep) for order in ORDERS]
)
def test_order(order: str, tmp_path: Path) -> None:
    steps, expected = ORDERS[order]
    script = f"{_CHECK}\n{steps}\ngive(patched())"

    finished = run_script(script, cwd=tmp_path)

    assert finished.result == expected
    assert "PatchWarning" not in finished.output


def test_after_deactivate_every_namespace_is_as_it_was(tmp_path: Path) -> None:
    script = """
        import mindspore, mindformers, sys, importlib
        for name in ("mindformers.models.qwen3.modeling_qwen3_infer", "mindformers.models.auto.modeling_auto",
                     "mindformers.utils.safetensors.convert_safetensors", "mindformers.trainer"):
            importlib.import_module(name)
        def namespaces():
            seen = {}
            for module_name, module in sorted(sys.modules.items()):
                if not module_name.startswith(("mindspore", "mindformers")) or not hasattr(module, "__dict__"):
                    continue
                for name, value in list(vars(module).items()):
                    seen[module_name, name] = value
                    if isinstance(value, type) and getattr(value, "__module__", None) == module_name:
                        seen.update({(module_name, name, k): v for k, v in vars(value).items()})
            return seen
        before = namespaces()
        import mf_qwen3_patch
        from mf_qwen3_patch.loading import pretrained  # imports what it needs, so that nothing new appears below
        during = namespaces()
        mf_qwen3_patch.deactivate()
        after = namespaces()
        changed = [key for key in before if before[key] is not during[key]]
        added = [key for key in during if key not in before and len(key) == 3]
        left = [key for key in before if before[key] is not after.get(key)] + [k for k in added if k in after]
        give([len(changed), len(added), left])
    """
    changed, added, left = run_script(script, cwd=tmp_path).result

    assert changed
    assert added
    assert left == []


def test_importing_the_shim_imports_neither_mindspore_nor_mindformers(tmp_path: Path) -> None:
    script = """
        import sys, mf_qwen3_patch
        give([sorted({m.split(".")[0] for m in sys.modules} & {"mindspore", "mindformers", "numpy", "safetensors", "tqdm"}),
              sorted({s.state for s in mf_qwen3_patch.status()})])
    """
    assert run_script(script, cwd=tmp_path).result == [[], ["pending"]]


def test_a_module_that_took_the_function_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from mindspore import load_checkpoint\n")
    script = """
        import sys; sys.path.insert(0, ".")
        import mine, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import mf_qwen3_patch
        give([str(w.message) for w in caught if issubclass(w.category, mf_qwen3_patch.LatePatchWarning)])
    """
    (message,) = run_script(script, cwd=tmp_path).result

    assert "mine.load_checkpoint" in message
    assert "Import mf_qwen3_patch before" in message


def test_a_misspelt_setting_is_a_warning_with_the_valid_values(tmp_path: Path) -> None:
    script = "import mf_qwen3_patch as p; give({one.state for one in p.status()} == {'pending'})"
    finished = run_script(script, cwd=tmp_path, env={"MF_QWEN3_PATCH": "on"})

    assert finished.result is True
    assert "PatchWarning" in finished.output
    assert "MF_QWEN3_PATCH='on' is not one of '1', '0', 'strict'" in finished.output


def test_a_patch_is_left_out_by_name(tmp_path: Path) -> None:
    script = """
        import mf_qwen3_patch, mindspore
        give(["mf_qwen3_patch/patches/" in mindspore.load_checkpoint.__code__.co_filename,
              [s.reason for s in mf_qwen3_patch.status() if s.state == "skipped"]])
    """
    finished = run_script(script, cwd=tmp_path, env={"MF_QWEN3_PATCH_DISABLE": "load_checkpoint"})

    assert finished.result == [False, ["left out by MF_QWEN3_PATCH_DISABLE"]]
