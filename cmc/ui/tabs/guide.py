"""Guide: the idea, the words, the first steps, and what this does not show."""

import gradio as gr

from cmc.workspace import Workspace

IDEA = """
## The idea
A language model is too expensive to train again for every purpose, and every model has its own
vocabulary. Here one **tiny network** is trained **once**, beside one frozen model, to say how each
token's score should be shifted. That shift is then added, with a **strength** you choose, to the
scores of any other model:

> scores = target + strength · shift

The large model's weights are never touched. At strength 0 you get exactly the base.

## First steps
1. **Generate**: press *Generate*. The base does not know how to answer; under control it does.
   Move the slider: 0 is the base, 1 is as trained. Click a coloured token to see what control
   did to it.
2. Press *Add controller* and put a style on top; each has its own strength.
3. **Vocabulary**: see how the controller's tokens meet those of a target that spells differently.
4. **Evaluate**: which strength to use, whether a controller carries over, what is left of its
   effect on every target, with 95 % intervals and every answer to read.
5. **Train**: press *Start training*. A small controller takes a minute or two on a laptop. You may
   close the page; the run goes on. Then choose it in Generate.
"""
WORDS = """
## The words
| word | meaning |
|---|---|
| **controller** | the packaged tiny model that is trained once and carried everywhere |
| **template** | the frozen language model beside which a controller is trained |
| **target** | any language model that is steered later |
| **base** | what the template or target says alone |
| **strength** | the multiplier of the shift; 0 is the base, 1 is as trained |
| **shift** | the change of a token's log-probability that a controller asks for |
| **transfer** | how a shift is carried into another vocabulary: `same`, `pm-mined` or `cover` |
| **vocab map** | for every target token, what it means in the controller's vocabulary |
| **run** | one training or evaluation, in one folder |
"""
HONEST = """
## What to keep in mind
- **The starter lab is small.** Its models have a few million parameters and know only a made-up
  world of people, towns and pets. It shows the whole mechanism on a laptop. It is no evidence
  about models with 7 billion parameters.
- **Suppression is not erasure.** A controller that makes a model keep silent about something
  changes what it *says*. What it *knows* is still in its weights, and comes back at strength 0.
- **Large strengths break text.** Far beyond 2, or far below -1, the shift drowns the model.
- Only models with safetensors weights are loaded, and no model's own Python code is ever run.
"""


def build_guide_tab(workspace: Workspace) -> None:
    """Lay out the tab; it has nothing to wire."""
    where = {
        "local": "You run the app yourself: all is allowed. Nothing is sent anywhere; only a model "
        "of the Hub that you name is downloaded.",
        "demo": "This is a public Space: training is off. Run the app yourself to train.",
        "open-lab": "This is a public Space whose owner allows training; be gentle.",
    }
    with gr.Row(equal_height=False, elem_classes=["page", "guide"], elem_id="guide"):
        with gr.Column(min_width=380):
            gr.Markdown(IDEA, elem_classes="prose-block")
            gr.Markdown(f"## Where you are\n{where[workspace.mode]}", elem_classes="prose-block")
        with gr.Column(min_width=380):
            gr.Markdown(WORDS, elem_classes="prose-block")
            gr.Markdown(HONEST, elem_classes="prose-block")
