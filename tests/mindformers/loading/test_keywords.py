"""The keywords of transformers' ``from_pretrained`` mean here what they mean there."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
import transformers
from mindformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM
from mindformers.models.qwen3_moe import Qwen3MoeConfig
from tests.support.checkpoints import (
    TINY_MOE,
    Tensors,
    edit_weights,
    make_config,
    read_safetensors,
    write_checkpoint,
    zeros,
)
from tests.support.hub import put_into_huggingface_cache

from mf_qwen3_patch import CheckpointWarning, ConfigMismatch, IncompleteCheckpoint
from mindformers import AutoConfig, AutoModel, AutoModelForCausalLM

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")

HIDDEN = make_config()["hidden_size"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hf") / "model")


def _huggingface(directory: Path, **keywords: Any) -> Any:
    """Load with transformers itself, in float32."""
    import torch
    from transformers import AutoModelForCausalLM as HuggingFaceModel

    return HuggingFaceModel.from_pretrained(directory, torch_dtype=torch.float32, **keywords)


def _next_tokens(model: Any, prompt: list[int]) -> list[int]:
    return model.generate([prompt], max_new_tokens=8, do_sample=False)[0].tolist()[len(prompt) :]


def _huggingfaces_next_tokens(model: Any, prompt: list[int]) -> list[int]:
    import torch

    output = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)
    return output[0].tolist()[len(prompt) :]


class TestFewerLayers:
    def test_the_first_layers_are_loaded_and_the_others_named(self, directory: Path) -> None:
        with pytest.warns(CheckpointWarning, match="asks for 1 of the 2 layers") as caught:
            model, info = AutoModel.from_pretrained(directory, num_hidden_layers=1, output_loading_info=True)

        assert len([w for w in caught if w.category is CheckpointWarning]) == 1
        assert not any("layers.1." in parameter.name for parameter in model.get_parameters())
        beyond = sorted(
            name for name in read_safetensors(directory / "model.safetensors") if name.startswith("model.layers.1.")
        )
        assert info["unexpected_keys"] == beyond
        assert info["mismatched_keys"] == info["missing_keys"] == []
        assert "the config has 1 layers" in str(model.mf_qwen3_report)

    @needs_torch
    @pytest.mark.oracle
    def test_transformers_says_the_same(self, directory: Path) -> None:
        with pytest.warns(CheckpointWarning):
            ours, info = AutoModel.from_pretrained(directory, num_hidden_layers=1, output_loading_info=True)
        theirs, their_info = _huggingface(directory, num_hidden_layers=1, output_loading_info=True)

        assert _next_tokens(ours, [5, 6, 7]) == _huggingfaces_next_tokens(theirs, [5, 6, 7])
        assert info["unexpected_keys"] == sorted(their_info["unexpected_keys"])

    def test_more_layers_than_there_are_is_an_error(self, directory: Path) -> None:
        with pytest.raises(ConfigMismatch, match="num_hidden_layers: 3, but the weights say 2"):
            AutoModel.from_pretrained(directory, num_hidden_layers=3)

    def test_fewer_by_config_json_is_an_error(self, tmp_path: Path, directory: Path) -> None:
        """Only who calls can mean it."""
        path = shutil.copytree(directory, tmp_path / "edited")
        config = json.loads((path / "config.json").read_text()) | {"num_hidden_layers": 1}
        (path / "config.json").write_text(json.dumps(config))

        with pytest.raises(ConfigMismatch, match="num_hidden_layers: 1"):
            AutoModel.from_pretrained(path)

    @pytest.mark.parametrize("dialect", ["4.51", "4.57", "5"])
    def test_of_a_mixture_of_experts_and_in_every_dialect(self, dialect: str, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path / "moe", dialect=dialect, **TINY_MOE)
        with pytest.warns(CheckpointWarning, match="asks for 1 of the 2 layers"):
            model = AutoModel.from_pretrained(path, num_layers=1)

        assert len(_next_tokens(model, [5, 6, 7])) == 8


class TestIgnoreMismatchedSizes:
    SMALLER = 96

    def _load(self, directory: Path, **keywords: Any) -> tuple[Any, Any]:
        with pytest.warns(CheckpointWarning, match="have another size than the config asks for") as caught:
            model, info = AutoModel.from_pretrained(
                directory, ignore_mismatched_sizes=True, output_loading_info=True, **keywords
            )
        said = str(caught[-1].message)
        assert all(name in said and str(list(shape)) in said for name, shape, _ in info["mismatched_keys"][:5])
        return model, info

    def test_what_fits_is_loaded_and_the_rest_starts_anew(self, directory: Path) -> None:
        model, info = self._load(directory, vocab_size=self.SMALLER)
        whole = {p.name: p.asnumpy() for p in AutoModel.from_pretrained(directory).get_parameters()}
        held = {p.name: p.asnumpy() for p in model.get_parameters()}

        anew = {"embedding.word_embeddings.weight", "output_layer.weight"}
        assert set(model.mf_qwen3_report.newly_initialized) == anew
        for name in held.keys() - anew:
            np.testing.assert_array_equal(held[name], whole[name])
        for name in anew:
            assert held[name].shape == (self.SMALLER, HIDDEN)
            assert held[name].std() == pytest.approx(make_config()["initializer_range"], rel=0.1)
        old = make_config()["vocab_size"]
        shapes = ((old, HIDDEN), (self.SMALLER, HIDDEN))
        assert info["mismatched_keys"] == [
            ("lm_head.weight", *shapes),
            ("model.embed_tokens.weight", *shapes),
        ]
        assert "not all were loaded" in str(model.mf_qwen3_report)
        tokens = _next_tokens(model, [5, 6, 7])
        # Of random embeddings any token may come next, the one that ends the text as well.
        assert len(tokens) == 8 or tokens[-1] == make_config()["eos_token_id"]
        assert all(0 <= token < self.SMALLER for token in tokens)

    @needs_torch
    @pytest.mark.oracle
    def test_transformers_names_the_same(self, directory: Path) -> None:
        _, info = self._load(directory, vocab_size=self.SMALLER)
        _, theirs = _huggingface(
            directory, vocab_size=self.SMALLER, ignore_mismatched_sizes=True, output_loading_info=True
        )

        # Names alone in some releases of transformers, tuples with both shapes in those before and after.
        named = sorted(key if isinstance(key, str) else key[0] for key in theirs["mismatched_keys"])
        assert [name for name, *_ in info["mismatched_keys"]] == named
        assert info["unexpected_keys"] == theirs["unexpected_keys"] == []
        assert info["missing_keys"] == theirs["missing_keys"] == []

    def test_a_part_of_a_merged_parameter(self, directory: Path) -> None:
        """Where K and V have another size, Q can't be loaded alone: all of it starts anew, and that is said."""
        model, info = self._load(directory, num_key_value_heads=4)

        anew = {f"decoder.layers.{layer}.self_attention.linear_qkv.weight" for layer in (0, 1)}
        assert set(model.mf_qwen3_report.newly_initialized) == anew
        parts = [f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in (0, 1) for part in "kqv"]
        assert sorted(model.mf_qwen3_report.ignored) == parts
        assert [name for name, *_ in info["mismatched_keys"]] == [name for name in parts if "q_proj" not in name]
        assert "merged with a tensor that has another size" in str(model.mf_qwen3_report)

    def test_one_tensor_of_another_shape_than_its_kind(self, tmp_path: Path, directory: Path) -> None:
        path = shutil.copytree(directory, tmp_path / "edited")
        name = "model.layers.1.mlp.down_proj.weight"

        def spoil(tensors: Tensors) -> None:
            tensors[name] = zeros(HIDDEN, 7)

        edit_weights(path, spoil)
        model, info = self._load(path)

        assert info["mismatched_keys"] == [(name, (HIDDEN, 7), (HIDDEN, make_config()["intermediate_size"]))]
        assert model.mf_qwen3_report.newly_initialized == ("decoder.layers.1.mlp.linear_fc2.weight",)

    def test_where_everything_fits_nothing_is_said(self, directory: Path, recwarn: pytest.WarningsRecorder) -> None:
        _, info = AutoModel.from_pretrained(directory, ignore_mismatched_sizes=True, output_loading_info=True)

        assert info["mismatched_keys"] == []
        assert not [w for w in recwarn if w.category is CheckpointWarning]

    def test_a_missing_tensor_is_still_an_error(self, tmp_path: Path, directory: Path) -> None:
        path = shutil.copytree(directory, tmp_path / "edited")
        edit_weights(path, lambda tensors: tensors.pop("model.norm.weight"))

        with pytest.raises(IncompleteCheckpoint, match=r"model\.norm\.weight"):
            AutoModel.from_pretrained(path, vocab_size=self.SMALLER, ignore_mismatched_sizes=True)

    def test_heads_that_do_not_share_out_evenly_are_still_an_error(self, directory: Path) -> None:
        with pytest.raises(ConfigMismatch, match="not a multiple of num_key_value_heads"):
            AutoModel.from_pretrained(directory, num_key_value_heads=3, ignore_mismatched_sizes=True)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_the_dtype_of_what_starts_anew(self, dtype: str, directory: Path) -> None:
        mindspore.set_seed(7)
        models = [self._load(directory, vocab_size=self.SMALLER, torch_dtype=dtype)[0] for _ in range(2)]
        first, second = ({p.name: p for p in model.get_parameters()}["output_layer.weight"] for model in models)

        assert str(first.dtype).lower() == dtype
        np.testing.assert_array_equal(first.asnumpy().astype(np.float32), second.asnumpy().astype(np.float32))


class TestConfigArgument:
    def test_a_config_of_mindformers(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory)
        config.seq_length = 77
        config.num_hidden_layers = 1
        with pytest.warns(CheckpointWarning, match="the config given as config= asks for 1 of the 2 layers"):
            model = AutoModel.from_pretrained(directory, config=config)

        assert model.config.seq_length == 77
        assert model.config is not config
        assert model.mf_qwen3_report.parameters == len(list(model.get_parameters())) < 19

    def test_a_config_of_transformers(self, directory: Path) -> None:
        from transformers import AutoConfig as HuggingFaceConfig

        config = HuggingFaceConfig.from_pretrained(directory, rope_theta=5000.0)
        with pytest.warns(CheckpointWarning, match="rope_theta"):
            model = AutoModel.from_pretrained(directory, config=config)

        assert model.config.rope_theta == 5000.0

    @pytest.mark.parametrize("name", ["", "config.json"])
    def test_the_path_of_one(self, name: str, tmp_path: Path, directory: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        config = json.loads((directory / "config.json").read_text()) | {"rms_norm_eps": 1e-5}
        (tmp_path / "elsewhere" / "config.json").write_text(json.dumps(config))
        with pytest.warns(CheckpointWarning, match="rms_norm_eps"):
            model = AutoModel.from_pretrained(directory, config=tmp_path / "elsewhere" / name)

        assert model.config.rms_norm_eps == 1e-5

    def test_weights_without_a_config_json(self, tmp_path: Path, directory: Path) -> None:
        path = shutil.copytree(directory, tmp_path / "bare")
        (path / "config.json").unlink()
        config = AutoConfig.from_pretrained(directory)

        model = Qwen3ForCausalLM.from_pretrained(path, config=config)
        assert _next_tokens(model, [5, 6]) == _next_tokens(AutoModel.from_pretrained(directory), [5, 6])

    def test_one_that_contradicts_the_weights(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory)
        config.hidden_size = 64
        with pytest.raises(ConfigMismatch, match="the config given as config= says hidden_size: 64, but the weights"):
            AutoModel.from_pretrained(directory, config=config)

    def test_dtypes_of_the_object_and_of_the_call(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory, torch_dtype="float16")
        assert config.params_dtype == "float16"
        model = AutoModel.from_pretrained(directory, config=config, torch_dtype="bfloat16")

        assert next(iter(model.get_parameters())).dtype == mindspore.bfloat16
        assert config.params_dtype == "float16"

    @needs_torch
    @pytest.mark.oracle
    def test_transformers_says_the_same(self, directory: Path) -> None:
        from transformers import AutoConfig as HuggingFaceConfig

        ours, theirs = (cls.from_pretrained(directory) for cls in (AutoConfig, HuggingFaceConfig))
        for config in (ours, theirs):
            config.num_hidden_layers = 1
            config.rope_theta = 500.0
        with pytest.warns(CheckpointWarning):
            model = AutoModel.from_pretrained(directory, config=ours)

        expected = _huggingfaces_next_tokens(_huggingface(directory, config=theirs), [5, 6, 7])
        assert _next_tokens(model, [5, 6, 7]) == expected
        with pytest.raises(TypeError, match="num_hidden_layers"):
            _huggingface(directory, config=theirs, num_hidden_layers=1)

    def test_fields_beside_it_are_refused_as_by_transformers(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory)
        with pytest.raises(TypeError, match="config= and num_hidden_layers are both given"):
            AutoModel.from_pretrained(directory, config=config, num_hidden_layers=1)

    @pytest.mark.parametrize("config", [3, {}, None.__class__], ids=repr)
    def test_something_else(self, config: object, directory: Path) -> None:
        with pytest.raises(TypeError, match="config= must be a Qwen3 config object"):
            AutoModel.from_pretrained(directory, config=config)

    def test_a_config_of_another_model(self, directory: Path) -> None:
        from transformers import LlamaConfig

        with pytest.raises(TypeError, match='"llama"'):
            AutoModel.from_pretrained(directory, config=LlamaConfig())


class TestWhereItIs:
    def test_a_hub_id_in_the_cache(self, tmp_path: Path, directory: Path) -> None:
        name = "Qwen/Qwen3-0.6B"
        put_into_huggingface_cache(tmp_path, name, directory)
        for cls in (AutoModel, AutoModelForCausalLM, Qwen3ForCausalLM):
            model = cls.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)
            assert model.config.hidden_size == HIDDEN
        assert AutoConfig.from_pretrained(name, cache_dir=tmp_path, local_files_only=True).hidden_size == HIDDEN

    def test_one_that_no_cache_has(self, tmp_path: Path) -> None:
        for cls in (AutoModel, AutoConfig):
            with pytest.raises(IncompleteCheckpoint, match="is not a directory here and no cache has it"):
                cls.from_pretrained("Qwen/Qwen3-0.6B", cache_dir=tmp_path, local_files_only=True)

    def test_a_path_that_is_not_there(self) -> None:
        with pytest.raises(IncompleteCheckpoint, match="the checkpoint directory /data/Qwen3-14B is not there"):
            AutoModel.from_pretrained("/data/Qwen3-14B")

    def test_a_subfolder(self, tmp_path: Path, directory: Path) -> None:
        shutil.copytree(directory, tmp_path / "model" / "below")
        model = AutoModel.from_pretrained(tmp_path / "model", subfolder="below")

        assert model.mf_qwen3_report.directory == str(tmp_path / "model" / "below")

    @pytest.mark.parametrize("shards", [1, 3])
    def test_a_variant(self, shards: int, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path / "model", dtype="F32")
        half = write_checkpoint(tmp_path / "half", dtype="F16", shards=shards)
        for file in half.glob("model*"):
            name = file.name.replace("model-", "model.fp16-").replace("model.safetensors", "model.fp16.safetensors")
            name = name.replace("fp16.safetensors.index.json", "safetensors.index.fp16.json")
            text = file.read_bytes()
            (path / name).write_bytes(text.replace(b'"model-', b'"model.fp16-') if "index" in name else text)

        model = AutoModel.from_pretrained(path, variant="fp16")
        report = model.mf_qwen3_report
        assert len(report.files) == shards
        assert all(".fp16" in name for name in report.files)
        assert list(report.casts) == ["F16->float32"]  # as config.json says float32
        with pytest.raises(IncompleteCheckpoint, match=r"model\.int8\.safetensors"):
            AutoModel.from_pretrained(path, variant="int8")

    @needs_torch
    @pytest.mark.oracle
    def test_transformers_takes_the_same_variant(self, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path / "model", dtype="F32")
        other = write_checkpoint(tmp_path / "other", dtype="F32", seed=5)
        shutil.copy(other / "model.safetensors", path / "model.other.safetensors")
        tokens = [
            (
                _next_tokens(AutoModel.from_pretrained(path, variant=variant), [5, 6, 7]),
                _huggingfaces_next_tokens(_huggingface(path, variant=variant), [5, 6, 7]),
            )
            for variant in (None, "other")
        ]

        assert all(ours == theirs for ours, theirs in tokens)
        assert tokens[0] != tokens[1]


class TestOtherKeywords:
    @pytest.mark.parametrize("cls", [AutoModel, AutoModelForCausalLM, Qwen3ForCausalLM, AutoConfig])
    def test_an_unknown_one_is_a_type_error_that_lists_the_known(self, cls: Any, directory: Path) -> None:
        with pytest.raises(
            TypeError, match="unexpected keyword argument 'num_hiden_layers'; did you mean num_hidden"
        ) as e:
            cls.from_pretrained(directory, num_hiden_layers=1)

        for known in ("torch_dtype", "revision", "ignore_mismatched_sizes", "hidden_size", "seq_length"):
            assert known in str(e.value)

    @needs_torch
    @pytest.mark.oracle
    def test_so_it_is_for_transformers(self, directory: Path) -> None:
        with pytest.raises(TypeError, match="num_hiden_layers"):
            _huggingface(directory, num_hiden_layers=1)

    def test_the_published_snippet_works_as_it_is(self, directory: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(
            directory, torch_dtype="auto", device_map="auto", low_cpu_mem_usage=True, attn_implementation="sdpa"
        )
        assert model.mf_qwen3_report.parameters

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("load_in_8bit", True),
            ("load_in_4bit", True),
            ("quantization_config", {"bits": 4}),
            ("use_safetensors", False),
            ("gguf_file", "x.gguf"),
            ("from_tf", True),
            ("state_dict", {"a": 1}),
            ("return_unused_kwargs", True),
        ],
    )
    def test_what_is_not_done_here_is_refused(self, keyword: str, value: object, directory: Path) -> None:
        with pytest.raises(ValueError, match=f"{keyword}=.* can't be done here"):
            AutoModel.from_pretrained(directory, **{keyword: value})

    @pytest.mark.parametrize("keyword", ["load_in_8bit", "from_tf", "quantization_config", "use_safetensors"])
    def test_their_defaults_are_fine(self, keyword: str, directory: Path) -> None:
        AutoModel.from_pretrained(directory, **{keyword: None})

    @pytest.mark.parametrize("cls", [AutoModel, AutoConfig])
    def test_remote_code_is_never_needed(self, cls: Any, directory: Path, tmp_path: Path) -> None:
        with pytest.warns(CheckpointWarning, match="trust_remote_code=True is not needed"):
            cls.from_pretrained(directory, trust_remote_code=True)

    def test_mindformers_own_config_fields(self, directory: Path) -> None:
        model = AutoModel.from_pretrained(directory, seq_length=48, block_size=16, num_blocks=64)

        assert (model.config.seq_length, model.config.block_size, model.config.num_blocks) == (48, 16, 64)

    def test_a_config_field_by_mindformers_alias(self, directory: Path) -> None:
        with pytest.raises(ConfigMismatch, match="num_heads: 8"):
            AutoModel.from_pretrained(directory, num_heads=8)

    def test_auto_config_follows_the_same_rules(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory, num_layers=1, torch_dtype="float16")

        assert (config.num_hidden_layers, config.params_dtype) == (1, "float16")
        with pytest.raises(ConfigMismatch, match="hidden_size"):
            AutoConfig.from_pretrained(directory, hidden_size=-1)

    @pytest.mark.parametrize("keyword", ["dtype", "torch_dtype", "ms_dtype"])
    def test_the_dtype_by_each_of_its_names(self, keyword: str, directory: Path) -> None:
        assert AutoConfig.from_pretrained(directory, **{keyword: "float16"}).params_dtype == "float16"
        model = AutoModel.from_pretrained(directory, **{keyword: mindspore.float16})
        assert {parameter.dtype for parameter in model.get_parameters() if "norm" not in parameter.name} == {
            mindspore.float16
        }

    def test_auto_config_returns_the_keywords_that_it_does_not_use(self, directory: Path) -> None:
        others = {"num_hiden_layers": 3, "device_map": "auto", "output_loading_info": True}
        used = {"num_hidden_layers": 1, "torch_dtype": "float16", "revision": "main", "code_revision": "main"}
        config, unused = AutoConfig.from_pretrained(directory, return_unused_kwargs=True, **others, **used)

        assert unused == others
        assert (config.num_hidden_layers, config.params_dtype) == (1, "float16")
        with pytest.raises(ConfigMismatch, match="hidden_size"):
            AutoConfig.from_pretrained(directory, return_unused_kwargs=True, hidden_size=-1)

    def test_auto_config_of_a_mixture_of_experts(self, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path / "moe", **TINY_MOE)
        assert type(AutoConfig.from_pretrained(path)) is Qwen3MoeConfig
        assert type(AutoConfig.from_pretrained(write_checkpoint(tmp_path / "dense"))) is Qwen3Config


class TestFromConfig:
    @pytest.mark.parametrize("cls", [AutoModel, AutoModelForCausalLM])
    def test_the_network_of_a_config_loads_a_directory(self, cls: Any, directory: Path) -> None:
        model = cls.from_config(AutoConfig.from_pretrained(directory))
        model.load_weights(str(directory))

        assert _next_tokens(model, [5, 6, 7]) == _next_tokens(AutoModel.from_pretrained(directory), [5, 6, 7])

    def test_a_config_of_transformers(self, directory: Path) -> None:
        model = AutoModel.from_config(transformers.AutoConfig.from_pretrained(directory))

        model.load_weights(str(directory))
        assert model.mf_qwen3_report.parameters

    def test_what_it_is_told_beside_the_config(self, directory: Path) -> None:
        config = AutoConfig.from_pretrained(directory)

        model = AutoModel.from_config(config, ms_dtype="float16", trust_remote_code=False)
        assert (model.config.params_dtype, config.params_dtype) == ("float16", "float32")
        with pytest.raises(
            TypeError, match="config= and num_hidden_layers are both given: set the field in the config"
        ):
            AutoModel.from_config(config, num_hidden_layers=1)
        with pytest.raises(TypeError, match="did you mean num_hidden_layers"):
            AutoModel.from_config(config, num_hiden_layers=1)

    def test_other_configs_are_stocks(self, directory: Path) -> None:
        with pytest.raises(ValueError, match="config should be inherited from PretrainedConfig"):
            AutoModel.from_config(str(directory))


def test_a_network_that_is_called_with_tokens_alone_says_what_it_lacks(directory: Path) -> None:
    model = AutoModel.from_pretrained(directory)

    with pytest.raises(TypeError, match=r"called with one input: .*\n  what to do: .*generate"):
        model(mindspore.Tensor([[5, 6, 7]], mindspore.int32))
