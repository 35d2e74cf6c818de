"""How the page looks: fonts of the visitor's own system, few colours, one column on a phone."""

from __future__ import annotations

import gradio as gr

SYSTEM = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
FIXED = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
# The trimming of videos would fetch FFmpeg from another host; a mistake's sentence says more than the word "Error".
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#head h1 { font-size: 1.7rem; margin-bottom: .2rem; }
#head p { margin: 0; opacity: .8; }
#made { border-left: 4px solid var(--primary-500); padding: .5rem .8rem; background: var(--block-background-fill);
        border-radius: 4px; }
#made p { margin: 0; }
.said p { font-size: .95rem; opacity: .85; }
.examples { align-items: center; }
.examples > div { flex: 0 0 auto !important; width: auto !important; min-width: 0 !important; }
.examples p { margin: 0; opacity: .8; white-space: nowrap; }
#speech .wrap { min-height: 0; padding: 1.6rem 0 .8rem; }
button[aria-label="Trim video to selection"], button[aria-label="trim video to selection"] { display: none; }
[data-testid="status-tracker"]:has(.error) { display: none; }
video { max-height: 70vh; }
#video video, #lips video, #silent video { max-height: 300px; }
body, gradio-app { overflow-x: hidden; }
@media (max-width: 640px) {
  .gradio-container > main, .gradio-container { padding: 10px !important; }
  #head h1 { font-size: 1.4rem; }
  .examples { gap: 6px !important; }
  .examples > div { flex: 1 0 100% !important; }
  .examples button { padding: 6px 8px !important; font-size: .85rem !important; }
}
"""


def theme() -> gr.themes.Base:
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=SYSTEM, font_mono=FIXED)
