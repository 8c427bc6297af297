"""Everything that polling for a result can answer."""

from typing import TypeAlias

from tinker_hl.types.custom_loss import CreateCustomLossResponse
from tinker_hl.types.futures import RequestFailedResponse, TryAgainResponse
from tinker_hl.types.models import CreateModelResponse, UnloadModelResponse
from tinker_hl.types.optimizer import OptimStepResponse
from tinker_hl.types.sample_response import SampleResponse
from tinker_hl.types.training import ForwardBackwardOutput
from tinker_hl.types.weights import (
    LoadWeightsResponse,
    SaveWeightsExternalResponseInternal,
    SaveWeightsForSamplerResponseInternal,
    SaveWeightsResponse,
)

__all__ = ["FutureRetrieveResponse"]

FutureRetrieveResponse: TypeAlias = (
    TryAgainResponse
    | ForwardBackwardOutput
    | OptimStepResponse
    | SaveWeightsResponse
    | LoadWeightsResponse
    | SaveWeightsForSamplerResponseInternal
    | SaveWeightsExternalResponseInternal
    | CreateModelResponse
    | UnloadModelResponse
    | CreateCustomLossResponse
    | SampleResponse
    | RequestFailedResponse
)
"""One of the answers of `retrieve_future`."""
