"""What uploaded losses may call: a list of what is allowed, not of what is forbidden. Names alone, torch is not needed.

A graph is data: a node names a function, and what the name stands for is looked up in this list and nowhere else. Left
out is what draws random numbers, changes tensors in place, leaves torch, reaches files or devices, or takes long for
its size.
"""

from typing import Final

__all__ = ["ATTRIBUTES", "DTYPES", "FUNCTIONS", "METHODS"]


def _named(module: str, names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names.split())


_BOTH: Final = (
    "abs add addcdiv addcmul all amax amin any argmax argmin argsort atan atan2 bmm ceil chunk clamp clamp_max "
    "clamp_min clip clone cos cosh count_nonzero cummax cummin cumprod cumsum diff div divide dot eq erf erfc "
    "exp exp2 expm1 flatten flip floor floor_divide fmod gather ge greater greater_equal gt heaviside hypot "
    "index_select isclose isfinite isinf isnan kthvalue le lerp less less_equal log log10 log1p log2 "
    "log_softmax logaddexp logcumsumexp logical_and logical_not logical_or logical_xor logit logsumexp lt "
    "masked_fill masked_select matmul max maximum mean median min minimum mm movedim mul multiply nan_to_num "
    "nanmean nansum narrow ne neg negative nonzero norm not_equal numel outer permute positive pow prod "
    "quantile reciprocal relu remainder renorm reshape roll round rsqrt scatter scatter_add sigmoid sign sin "
    "sinh softmax sort split sqrt square squeeze std sub subtract sum swapaxes t take take_along_dim tan tanh "
    "tile topk transpose tril triu true_divide trunc unbind unflatten unsqueeze var where xlogy"
)
"""Both functions and methods of tensors."""
FUNCTIONS: Final = (
    _named("torch", _BOTH)
    | _named(
        "torch",
        "arange as_tensor broadcast_to cat concat cosine_similarity einsum eye full full_like hstack linspace "
        "ones ones_like stack std_mean tensor tensor_split var_mean vstack zeros zeros_like",
    )
    | _named(
        "torch.nn.functional",
        "binary_cross_entropy binary_cross_entropy_with_logits cosine_similarity cross_entropy elu "
        "gaussian_nll_loss gelu hardtanh huber_loss kl_div l1_loss leaky_relu log_softmax logsigmoid "
        "margin_ranking_loss mish mse_loss nll_loss normalize one_hot pad poisson_nll_loss relu relu6 selu "
        "sigmoid silu smooth_l1_loss soft_margin_loss softmax softmin softplus softsign tanh",
    )
    # How torch.fx names functions that are written in C.
    | _named("torch._C._nn", "gelu log_sigmoid one_hot softplus")
    | _named("torch._C._special", "special_expit special_log1p special_logit special_logsumexp special_xlogy")
    | _named("torch._C._linalg", "linalg_norm linalg_vector_norm")
    | _named("torch.special", "expit log1p logit logsumexp xlogy")
    | _named("torch.linalg", "norm vector_norm")
    | _named(
        "math",
        "atan atan2 ceil copysign cos cosh erf erfc exp expm1 fabs floor hypot isfinite isinf isnan lgamma log "
        "log10 log1p log2 pow sin sinh sqrt tan tanh trunc",
    )
    | _named(
        "operator",
        "abs add and_ eq floordiv ge getitem gt inv invert le lt matmul mod mul ne neg or_ pos pow sub truediv xor",
    )
    | {"getattr"}
)
_METHODS: Final = (
    "bfloat16 bool contiguous detach dim double expand expand_as float half int long new_full new_ones "
    "new_zeros repeat reshape_as size to type_as view view_as"
)
METHODS: Final = frozenset(_BOTH.split()) | frozenset(_METHODS.split())
ATTRIBUTES: Final = frozenset({"T", "device", "dtype", "indices", "mT", "ndim", "shape", "values"})
"""What `getattr` may read; `values` and `indices` are of what `max`, `sort` and the like return."""
DTYPES: Final = frozenset({"bfloat16", "bool", "float16", "float32", "float64", "int32", "int64"})
