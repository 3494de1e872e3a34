"""What is patched can still be inspected, pickled, subclassed and overridden like the original."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import run_script


def test_signatures_docs_pickles_and_classes_are_the_originals(tmp_path: Path) -> None:
    script = """
        import inspect, pickle
        import mindspore
        from mindformers import AutoConfig, AutoModel, AutoModelForCausalLM
        from mindformers.models.modeling_utils import PreTrainedModel
        from mindformers.models.qwen3 import Qwen3ForCausalLM
        from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM as Q
        from mindformers.models.qwen3.utils import Qwen3PreTrainedModel
        from mindformers.utils.safetensors import convert_safetensors

        def look():
            functions = {
                "load_checkpoint": mindspore.load_checkpoint,
                "save_file": convert_safetensors.save_file,
                "load_weights": Q.load_weights,
                "prefill": Q._incremental_infer_mcore,
                **{c.__name__: c.from_pretrained for c in (AutoConfig, AutoModel, AutoModelForCausalLM)},
                "Qwen3": Qwen3PreTrainedModel.from_pretrained,
            }
            about = {n: (str(inspect.signature(f)), f.__doc__, f.__name__, f.__qualname__, f.__module__) for n, f in functions.items()}
            code = {n: inspect.unwrap(f).__code__.co_filename for n, f in functions.items()}
            return about, code
        stock = look()
        classes = (AutoConfig, AutoModel, AutoModelForCausalLM, Q, Qwen3ForCausalLM, Qwen3PreTrainedModel)
        bases = [c.__mro__ for c in classes]

        import mf_qwen3_patch
        from mindformers import AutoConfig as C2, AutoModel as M2
        patched = look()
        bound = pickle.loads(pickle.dumps(Q.convert_weight_dict))
        function = pickle.loads(pickle.dumps(mindspore.load_checkpoint))

        class Mine(Q):
            @classmethod
            def convert_weight_dict(cls, source_dict, **kwargs):
                return ["mine", *super().convert_weight_dict(source_dict, **kwargs)]
            def load_weights(self, weights_path=None, weights=None):
                return "mine"
        class Plain(Q):
            pass
        import numpy as np
        weights = {"model.norm.weight": np.ones(3, np.float32)}
        give({
            "same": patched == stock,
            "classes": [C2 is AutoConfig, M2 is AutoModel, [c.__mro__ for c in classes] == bases],
            "pickled": [bound == Q.convert_weight_dict, function is mindspore.load_checkpoint],
            "signature": str(inspect.signature(Q.convert_weight_dict)),
            "documented": [bool(getattr(Q, n).__doc__) for n in ("convert_weight_dict", "convert_map_dict", "obtain_name_map")],
            "isinstance": [issubclass(Mine, Q), isinstance(Mine.__new__(Mine), PreTrainedModel)],
            "overridden": [Mine.convert_weight_dict(weights), Mine.load_weights(None), list(Plain.convert_weight_dict(weights))],
        })
    """
    found = run_script(script, cwd=tmp_path).result

    assert found == {
        "same": True,
        "classes": [True, True, True],
        "pickled": [True, True],
        "signature": "(source_dict: 'Mapping[str, Any]', **kwargs: 'Any') -> 'dict[str, Parameter]'",
        "documented": [True, True, True],
        "isinstance": [True, True],
        "overridden": [
            ["mine", "decoder.final_layernorm.weight"],
            "mine",
            ["decoder.final_layernorm.weight"],
        ],
    }
