"""In which numbers a network computes."""

from __future__ import annotations

import torch

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def compute_type(precision: str, device: torch.device) -> torch.dtype:
    """What a flag -precision stands for on this device

    "auto": bfloat16 where the hardware multiplies it, float16 on other GPUs, float32 on other CPUs.
    """
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    tests = (getattr(torch.cpu, f"_is_{feature}_supported", bool) for feature in ("amx_tile", "avx512_bf16"))
    return torch.bfloat16 if any(test() for test in tests) else torch.float32


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in the flag's type, on this device."""
    kind = compute_type(precision, device)
    half = kind != torch.float32
    # Its cache of cast weights would outlive a change of requires_grad between two networks' turns.
    return torch.autocast(device.type, kind if half else torch.bfloat16, half, cache_enabled=False)


def grad_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Finds gradients that are not finite, so that their step is skipped; for float16 it also scales the loss."""
    scale = 2.0**14 if compute_type(precision, device) == torch.float16 else 1.0
    return torch.amp.GradScaler(device.type, init_scale=scale)
