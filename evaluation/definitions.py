"""What every figure is: its heading in tables, its decimals, its definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """How a figure is headed, with how many decimals it is shown, and what it is."""

    heading: str
    decimals: int
    definition: str


GROUPS = {
    "dubbing": {
        "lmd_motion": Figure(
            "LMD motion",
            3,
            "LMD of the mouth points, each clip's mean mouth taken away, pixels of a 128-pixel crop",
        ),
        "mouth_jitter": Figure(
            "mouth jitter",
            3,
            "mean second difference over time of the 20 mouth points, pixels of a 128-pixel crop",
        ),
        "ssim_outside": Figure(
            "SSIM outside", 4, "SSIM against A's own frames outside the box of mouth and jaw (1: untouched)"
        ),
        "above_nose": Figure(
            "above the nose", 2, "mean absolute difference from A's own frames above the nose, of 255 levels"
        ),
    },
    "landmarks": {
        "lmd_mouth": Figure(
            "LMD mouth", 3, "mean distance of the 20 mouth points, pixels of a 128-pixel crop"
        ),
        "lmd_mouth_ratio": Figure("of static", 3, "LMD mouth over that of the static face"),
        "lmd_all": Figure("LMD 68", 3, "mean distance of all 68 points, pixels of a 128-pixel crop"),
        "lmd_mouth_unaligned": Figure(
            "unaligned", 3, "LMD mouth against the stored landmarks, head motion left in"
        ),
        "opening_correlation": Figure(
            "opening r", 3, "correlation with the true inner-lip opening, mean over clips"
        ),
        "opening_correlation_pooled": Figure(
            "pooled r", 3, "the same over all clips' frames, openings less rest"
        ),
        "opening_correlation_best": Figure(
            "best r",
            3,
            "the highest opening r of each clip with its mouth moved by up to 5 frames, mean over clips",
        ),
        "opening_gain": Figure("range", 2, "standard deviation of the opening over the true one's"),
        "offset": Figure(
            "offset", 0, "frames by which the mouth is later than the true one (best cross-correlation)"
        ),
        "audio_offset": Figure("A/V", 0, "frames by which the mouth is later than the loudness of the sound"),
        "pause_opening": Figure(
            "pauses", 3, "mean opening in the clip's pauses, as a multiple of the opening at rest"
        ),
        "pause_excess": Figure(
            "excess", 2, "mean opening in the clip's pauses less the opening at rest, pixels"
        ),
        "long_pause_opening": Figure(
            "long pauses", 3, "as pauses, in those of more than 0.4 s, less 0.12 s at either end"
        ),
        "long_pause_excess": Figure(
            "excess", 2, "mean opening in long pauses less the opening at rest, pixels"
        ),
        "silence_opening": Figure(
            "silence", 3, "mean opening while the network hears 3 s of no sound, as a multiple of rest"
        ),
        "jitter": Figure("jitter", 3, "mean second difference over time of the 48 other landmarks, pixels"),
        "jitter_ratio": Figure("jitter, of truth", 2, "jitter over that of the true landmarks"),
        "undetected": Figure(
            "no face", 0, "frames in which dlib found no face, in all; left out of these figures"
        ),
    },
    "landmarks in noise": {
        "rmse": Figure(
            "RMSE", 3, "root mean square of the distances of all 68 points, pixels of a 128-pixel crop"
        ),
        "opening_error": Figure(
            "opening error", 3, "mean absolute error of the inner lips' opening, pixels of a 128-pixel crop"
        ),
        "width_error": Figure(
            "width error", 3, "mean absolute error of the mouth's width (points 48 and 54), pixels"
        ),
        "velocity_error": Figure(
            "velocity error", 3, "mean distance of the mouth points' first differences over time, pixels"
        ),
        "acceleration_error": Figure(
            "acceleration error", 3, "mean distance of their second differences, pixels"
        ),
    },
    "pictures": {
        "psnr": Figure(
            "PSNR", 2, "dB, whole frame, RGB, peak 255, mean over frames (100 for identical frames)"
        ),
        "psnr_gain": Figure("gain", 2, "PSNR over that of the static face, dB"),
        "mouth_psnr": Figure(
            "mouth PSNR", 2, "PSNR in the box of the clip's true mouth points, plus 0.15 of its width"
        ),
        "mouth_psnr_gain": Figure("gain", 2, "mouth PSNR over that of the static face, dB"),
        "identity": Figure(
            "identity",
            3,
            "cosine of dlib's face descriptor (128 numbers) with the example's, mean over every 15th frame",
        ),
        "eyes_psnr": Figure(
            "eyes PSNR", 2, "PSNR in the box of the clip's eyes, over frames whose true eyes are shut"
        ),
        "eyes_psnr_gain": Figure("gain", 2, "eyes PSNR over that of the static face, dB"),
        "eyes_correlation": Figure(
            "eyes r", 3, "correlation of the eye aspect ratio with the true one, clips whose true eyes shut"
        ),
        "eyes_depth": Figure(
            "eyes shut",
            2,
            "how far the eye aspect ratio falls from open (70th percentile), over the true fall",
        ),
        "ssim": Figure("SSIM", 4, "scikit-image, 7 x 7 uniform windows, mean over RGB, data range 255"),
        "cpbd": Figure("CPBD", 3, "share of edges seen as sharp, luma, blocks of 64 pixels, whole frame"),
        "mouth_cpbd": Figure("mouth CPBD", 3, "CPBD of the mouth box, which is one block"),
        "mouth_cpbd_ratio": Figure("of true CPBD", 3, "CPBD of the mouth box over that of the true frames"),
        "sharpness_ratio": Figure(
            "sharpness", 3, "variance of the luma's Laplacian over that of the true frames"
        ),
        "mouth_sharpness_ratio": Figure(
            "mouth sharpness",
            3,
            "variance of the luma's Laplacian in the mouth box, over that of the true frames",
        ),
    },
    "lips": {
        "words_read": Figure(
            "words read",
            3,
            "share of the clips' words that the lip reader reads right off the frames, mirrored too",
        ),
        "words_judged": Figure("of", 0, "how many words these are"),
    },
    "heads": {
        "face_psnr": Figure(
            "face PSNR", 2, "PSNR in the box of each frame's true 68 points, plus 0.15 of its width"
        ),
        "face_psnr_gain": Figure("gain", 2, "face PSNR over that of the repeated reference, dB"),
        "pose_error": Figure(
            "pose error",
            2,
            "degrees between the pose that was asked for and the one fitted to dlib's landmarks in the frames made",
        ),
    },
    "speech": {
        "stoi": Figure(
            "STOI", 3, "short-time objective intelligibility (Taal et al. 2011), pystoi, at 16 kHz"
        ),
        "estoi": Figure("ESTOI", 3, "extended STOI (Jensen and Taal 2016), pystoi, at 16 kHz"),
        "stoi_in_step": Figure(
            "STOI in step",
            3,
            "STOI once the sound is moved by its offset: GRID's clips are not quite in step with their sound",
        ),
        "estoi_in_step": Figure("ESTOI in step", 3, "the same for ESTOI"),
        "pesq": Figure("PESQ", 3, "narrow band (ITU-T P.862), at 8 kHz, where the package pesq is installed"),
        "mel_distance": Figure(
            "mel distance, dB",
            2,
            "mean absolute error of 80 mel bands (utils/audio/mel.py), each sound at the same peak, floor -100 dB",
        ),
        "sound_offset": Figure(
            "offset",
            2,
            "video frames by which the sound is later than the recording: where mels correlate best, within 10",
        ),
        "level": Figure(
            "level, dB", 1, "root mean square over the recording's, of differences over time (no rumble)"
        ),
        "wer": Figure(
            "WER, %",
            1,
            "words that pocketsphinx, which knows GRID's grammar alone, gets wrong, of all that were said",
        ),
        "wer_whisper": Figure("WER Whisper, %", 1, "the same of Whisper, which may write any words"),
        "wer_letters": Figure(
            "WER letters, %", 1, "the same of the letters that the network itself reads from lips, greedily"
        ),
    },
    "words": {
        "accuracy": Figure("top 1", 4, "share of words that are read right"),
        "top5": Figure("top 5", 4, "share of words that are among the five most likely"),
    },
    "by the original script's definitions": {
        "paper_lmd_sum": Figure(
            "LMD sum", 3, "sum over 20 mouth points, whole pixels, each set about its centre"
        ),
        "paper_ssim": Figure("SSIM 256", 4, "BGR resized to 256 pixels (INTER_AREA), 7 x 7 windows"),
        "paper_psnr": Figure(
            "PSNR 8 bit", 2, "grey, 256 pixels, 8-bit arithmetic that wraps at 256: not a real PSNR"
        ),
        "paper_cpbd": Figure("CPBD 62", 3, "CPBD that sums the bins 0 to 62 of its histogram, not 0 to 63"),
    },
}
FIGURES = {name: figure for group in GROUPS.values() for name, figure in group.items()}


def definitions(rows: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """What each figure of the rows is"""
    present = {name for row in rows.values() for name in row}
    return {name: figure.definition for name, figure in FIGURES.items() if name in present}
