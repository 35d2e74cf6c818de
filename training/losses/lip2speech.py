"""The losses of lip-to-speech (Kim, Hong and Ro 2021, Sections 3.3 to 3.5); frames beyond a clip's end do not count."""

from __future__ import annotations

from argparse import Namespace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from models.lips.generator import Speech
from models.lips.judges import SpeechJudge, SyncNet, Verdict
from training.losses import Parts
from utils.audio import SAMPLE_RATE
from utils.audio.mel import BINS, COLUMNS, DENORMALISED, SILENCE

Batch = dict[str, Tensor]
Mels = tuple[Tensor, Tensor, Tensor]
R1_EVERY = 16  # steps
STRETCH = 38, 4  # columns of the envelopes that are compared at a time, and from one such stretch to the next
FLOOR, SILENT = 1e-4, 1e-3  # power that counts as none; share of the loudest stretch's that counts as silence


def frame_mask(lengths: Tensor, frames: int, columns: int = 1) -> Tensor:
    """lengths (B,) -> (B, columns * frames), 1 within each clip and 0 beyond its end"""
    inside = torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)
    return inside.float().repeat_interleave(columns, dim=1)


def mel_pyramid(mel: Tensor) -> Mels:
    """mel (B, 80, 4 S) -> the true mels of three sizes: (B, 20, S), (B, 40, 2 S), (B, 80, 4 S)"""
    smaller = [
        F.interpolate(mel.unsqueeze(1), scale_factor=factor, mode="bilinear", align_corners=False)
        for factor in (0.25, 0.5)
    ]
    return smaller[0].squeeze(1), smaller[1].squeeze(1), mel


def masked_error(made: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """made, true (B, F, T), mask (B, T) -> mean absolute error of the columns that count"""
    error = (made.float() - true).abs().mean(1)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def reconstruction_loss(speech: Speech, batch: Batch) -> Parts:
    """Eq. 10: the mels' error in natural logarithms, mean over the three sizes; and the spectrum's, in magnitudes"""
    frames = batch["mouths"].shape[1]
    errors = [
        masked_error(made, true, frame_mask(batch["frames"], frames, made.shape[-1] // frames))
        for made, true in zip(speech.mels, mel_pyramid(batch["mel"]), strict=True)
    ]
    mask = frame_mask(batch["frames"], frames, COLUMNS)
    spectrum = masked_error(speech.spectrum, batch["spectrum"].float(), mask)
    return dict(mel=DENORMALISED * sum(errors) / len(errors), spectrum=spectrum)


def envelope_loss(made: Tensor, true: Tensor, lengths: Tensor) -> Tensor:
    """made, true (B, 321, T) magnitudes -> 1 minus how alike their envelopes are, as STOI and ESTOI measure it (Taal et
    al. 2011, Jensen and Taal 2016; not in the paper)

    Correlations over 0.38 s in third octaves, the mean of STOI's, band by band, and of ESTOI's, which compares bands
    too; of stretches within the clip that are not silent.
    """
    pairs = [third_octaves().to(true.device) @ magnitudes.float().square() for magnitudes in (made, true)]
    stretches = [(power + FLOOR).sqrt().unfold(2, *STRETCH) for power in pairs]  # (B, 15, N, 38)
    loudness = stretches[1].square().mean((1, 3))
    last = STRETCH[1] * torch.arange(loudness.shape[1], device=true.device) + STRETCH[0]
    counts = (last <= COLUMNS * lengths.unsqueeze(1)) & (loudness > SILENT * loudness.amax(1, keepdim=True))
    ours, theirs = (_unit(stretch, 3) for stretch in stretches)
    alike = (ours * theirs).sum(3).mean(1)
    ours, theirs = _unit(ours, 1), _unit(theirs, 1)
    alike = (alike + (ours * theirs).sum(1).mean(2)) / 2
    return 1 - (alike * counts).sum() / counts.sum().clamp(min=1)


def _unit(values: Tensor, dim: int) -> Tensor:
    """Without its mean along a dimension, and of length 1"""
    values = values - values.mean(dim, keepdim=True)
    return values / (values.square().sum(dim, keepdim=True) + FLOOR).sqrt()


@lru_cache(maxsize=1)
def third_octaves() -> Tensor:
    """(15, 321): which bins of a spectrum are in each third octave, from 150 Hz on"""
    centres = 150 * 2 ** (torch.arange(15).unsqueeze(1) / 3)
    bins = torch.linspace(0, SAMPLE_RATE / 2, BINS)
    return ((bins >= centres * 2 ** (-1 / 6)) & (bins < centres * 2 ** (1 / 6))).float()


def text_loss(logits: Tensor, batch: Batch) -> Tensor:
    """logits (B, S, 28) -> connectionist temporal classification (Graves et al. 2006), a letter's mean over clips whose
    transcript the window holds (not in the paper)
    """
    scores = logits.float().log_softmax(-1).transpose(0, 1)
    counts = batch["letter_count"]
    losses = F.ctc_loss(
        scores, batch["letters"], batch["frames"], counts, reduction="none", zero_infinity=True
    )
    return (losses / counts.clamp(min=1) * (counts > 0)).sum() / (counts > 0).sum().clamp(min=1)


def contrast_loss(seen: Tensor, heard: Tensor, lengths: Tensor, temperature: Tensor) -> Tensor:
    """Eq. 8: seen, heard (B, S, F) -> InfoNCE both ways between the frames of each clip, and no others'"""
    seen, heard = (F.normalize(features.float(), dim=2) for features in (seen, heard))
    likeness = seen @ heard.transpose(1, 2) / temperature
    mask = frame_mask(lengths, seen.shape[1])
    likeness = likeness.masked_fill(mask.unsqueeze(1) == 0, float("-inf"))
    forwards = likeness.log_softmax(2).diagonal(dim1=1, dim2=2)
    likeness = likeness.masked_fill(mask.unsqueeze(2) == 0, float("-inf"))
    backwards = likeness.log_softmax(1).diagonal(dim1=1, dim2=2)
    both = (forwards + backwards).masked_fill(mask == 0, 0.0)
    return -both.sum() / 2 / mask.sum().clamp(min=1)


def sync_loss(seen: Tensor, heard: Tensor, lengths: Tensor) -> Tensor:
    """Eq. 9: 1 minus the mean cosine of seen, heard (B, S, F)

    The original takes the cosine's absolute value, which rewards the opposite as much as the same.
    """
    mask = frame_mask(lengths, seen.shape[1])
    likeness = F.cosine_similarity(seen.float(), heard.float(), dim=2)
    return 1 - (likeness * mask).sum() / mask.sum().clamp(min=1)


def silenced(mels: Mels, lengths: Tensor) -> Mels:
    """Mels of three sizes, silent beyond each clip's end as the true ones are, so that nobody judges the padding"""
    frames = mels[0].shape[-1]
    masks = (frame_mask(lengths, frames, mel.shape[-1] // frames).unsqueeze(1) for mel in mels)
    return tuple(torch.where(mask > 0, mel.float(), SILENCE) for mel, mask in zip(mels, masks, strict=True))


def clip_context(context: Tensor, lengths: Tensor) -> Tensor:
    """context (B, S, C) -> its mean (B, C) over each clip, without the padding, cut off from its network"""
    mask = frame_mask(lengths, context.shape[1]).unsqueeze(2)
    return (context.detach() * mask).sum(1) / mask.sum(1).clamp(min=1)


def non_saturating(verdict: Verdict, real: bool) -> Tensor:
    """Eq. 6 and 7: softplus of the logits that are wrong, for `real` or made mels, mean over the three sizes"""
    sign = -1 if real else 1
    logits = [*verdict.alone, *verdict.given]
    return sum(F.softplus(sign * one.float()).mean() for one in logits) / len(verdict.alone)


def judge_loss(judge: SpeechJudge, batch: Batch, speech: Speech, regularise: bool) -> tuple[Tensor, Parts]:
    """Eq. 6: real from made; the generator gets no gradient

    regularise: with the penalty R1 (Mescheder et al. 2018) on the logits of mels alone, for R1_EVERY steps at once.
    """
    context = clip_context(speech.seen.context, batch["frames"])
    true = [mel.detach().requires_grad_(regularise) for mel in mel_pyramid(batch["mel"])]
    real = judge(tuple(true), context)
    made = judge(silenced(tuple(mel.detach() for mel in speech.mels), batch["frames"]), context)
    parts = dict(real=non_saturating(real, True), fake=non_saturating(made, False))
    loss = parts["real"] + parts["fake"]
    if regularise:
        logits = sum(one.float().sum() for one in real.alone)
        slopes = torch.autograd.grad(logits, true, create_graph=True)
        parts["r1"] = sum(slope.square().sum((1, 2)).mean() for slope in slopes) / len(slopes)
        loss = loss + R1_EVERY * parts["r1"]
    return loss, {f"judge_{name}": value.detach() for name, value in parts.items()}


def generator_loss(
    speech: Speech,
    batch: Batch,
    judge: SpeechJudge | None,
    sync: SyncNet | None,
    heard: Tensor | None,
    args: Namespace,
) -> tuple[Tensor, Parts]:
    """Eq. 11: the generator's terms, weighed by the flags NAME_weight, and apart for the log

    judge, sync: None where they have no weight; heard (B, S, F): what the sync net makes of the true mel.
    """
    lengths = batch["frames"]
    parts = reconstruction_loss(speech, batch)
    weights = dict(mel=args.reconstruction_weight, spectrum=args.reconstruction_weight)
    if args.envelope_weight:
        parts["envelope"] = envelope_loss(speech.spectrum, batch["spectrum"], lengths)
    mels = silenced(speech.mels, lengths)
    if judge is not None:
        verdict = judge(mels, clip_context(speech.seen.context, lengths))
        parts["adversarial"] = non_saturating(verdict, True)
    if sync is not None:
        local = speech.seen.local
        parts["sync"] = sync_loss(local.detach(), sync(mels[2]), lengths)
        parts["contrast"] = contrast_loss(local, heard, lengths, sync.temperature.detach())
        weights |= dict(contrast=args.sync_weight)
    if speech.seen.text is not None:
        parts["text"] = text_loss(speech.seen.text, batch)
    total = sum(weights.get(name, getattr(args, f"{name}_weight", 1)) * part for name, part in parts.items())
    return total, parts
