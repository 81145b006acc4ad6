"""Launch the app."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # both before gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

try:  # on a ZeroGPU Space it must come before anything that touches CUDA
    import spaces  # noqa: F401
except ImportError:
    pass

from cmc.ui.layout import build_app, launch_arguments
from cmc.workspace import Workspace, choose_mode

demo = build_app(Workspace(mode=choose_mode(os.environ)))
demo.queue(default_concurrency_limit=4, max_size=64)

if __name__ == "__main__":
    demo.launch(**launch_arguments())
