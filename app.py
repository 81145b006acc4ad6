"""Launch the app."""

import contextlib
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # both before gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# On a ZeroGPU Space this must come before anything that touches CUDA; elsewhere it is absent.
with contextlib.suppress(ImportError):
    import spaces  # noqa: F401

from cmc.ui.layout import build_app, launch_arguments
from cmc.workspace import Workspace, choose_mode

demo = build_app(Workspace(mode=choose_mode(os.environ)))
demo.queue(default_concurrency_limit=4, max_size=64)

if __name__ == "__main__":
    demo.launch(**launch_arguments())
