"""In which numbers a network computes."""

from __future__ import annotations

import torch


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; "auto" answers yes only where the hardware multiplies it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    tests = (getattr(torch.cpu, f"_is_{feature}_supported", bool) for feature in ("amx_tile", "avx512_bf16"))
    return any(test() for test in tests)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in bfloat16 where `use_bf16` says so."""
    # Its cache of cast weights would outlive a change of requires_grad between two networks' turns.
    return torch.autocast(device.type, torch.bfloat16, use_bf16(precision, device), cache_enabled=False)
