"""Which keys of other people's files change no vector? Every other key is refused, unless it is read.

A setting that is passed over in silence is a model that loads and answers wrongly. So each file has a table of what is
known to be harmless: how a model was trained, is stored, or is used for something else than vectors.
"""

import re
from collections.abc import Iterable

from minitx.errors import InputError
from minitx.system import Fields, brief

# Of config.json, in any architecture: how it was trained, is stored or run; heads that predict words and classes; how
# text is generated; and what of it transformers has dropped since.
_CONFIG = """ architectures auto_map model_type tokenizer_class name language transformers_version
transformers.js_config sentence_transformers sbert_ce_default_activation_function is_composition torch_dtype dtype
use_bfloat16 torchscript tf_legacy_loss xla_device low_cpu_mem_usage attn_implementation gradient_checkpointing
chunk_size_feed_forward initializer_range initializer_cutoff_factor tie_encoder_decoder tie_word_embeddings
tie_weights_ sinusoidal_pos_embds type_vocab_size relative_attention_num_buckets cross_attention_hidden_size
use_cache use_return_dict return_dict return_dict_in_generate finetuning_task problem_type num_labels id2label
label2id task_specific_params directionality reference_compile repad_logits_with_grad deterministic_flash_attn
do_sample early_stopping num_beams num_beam_groups num_return_sequences temperature top_k top_p typical_p
bad_words_ids min_length max_length remove_invalid_values prefix decoder_bias output_attentions output_hidden_states
output_past output_scores"""
CONFIG_KEYS = set(_CONFIG.split())
FAMILIES = re.compile(
    r"_.*|.*dropout(_prob)?|\w+_token_id|(pooler|summary|classifier|sparse_pred)\w+|\w+_(penalty|ngram_size)"
)
MODULE_KEYS = {"idx", "name", "kwargs"}  # of an entry of modules.json
USAGE_KEYS = {"__version__", "requirements"}  # of config_sentence_transformers.json
TRANSFORMER_KEYS = {"unpad_inputs"}  # of sentence_bert_config.json
# Of the arguments that it may hold for loading the model, its configuration and its tokenizer.
LOADING_KEYS = {"add_pooling_layer", "attn_implementation", "dtype", "torch_dtype", "low_cpu_mem_usage", "use_fast"}
LOADING_KEYS |= {"trust_remote_code", "use_safetensors", "use_cache"}
LOADING = [f"{of}_{args}" for of in ("model", "processor", "tokenizer", "config") for args in ("args", "kwargs")]


def refuse_unknown(fields: Fields, known: Iterable[str] = ()) -> None:
    """`InputError` for the first key that is neither `known` nor empty nor was read, naming file, key and value.

    A null, an empty text, list or object says nothing; the families are transformers' notes, and heads that give no
    vectors.
    """
    for key, value in fields.data.items():
        if key not in {*known, *fields.read} and not FAMILIES.fullmatch(key) and value not in (None, "", [], {}):
            shown = f"{repr(key)[1:-1]:.60} is {brief(value)}"
            raise InputError(f"{fields.where}: {shown}; this is not implemented and could change vectors")
